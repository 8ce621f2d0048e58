"""Released checkpoints: read safely, checked key by key, and put into the course's own modules."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from t2i import checkpoint, models, official_names, paths, pickles
from t2i import config as configs
from t2i.errors import UserError, check_name
from t2i.text import trunks
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.characters import ALPHABET
from t2i.text.damsm import ImageEncoder, TextEncoder
from t2i.training.run import Run

CHARACTERS = "char_cnn_rnn_birds_icml"  # made the embeddings that StackGAN's birds were trained with
VOCABULARIES = {"cub": 5_450, "coco": 27_297}  # words of the released captions.pickle files, <end> included


@dataclass(frozen=True)
class Kind:
    """One layout of released checkpoints: how to build our module, and what its parts are called in the file.

    ``build`` takes the kind of ``mask`` and the number of ``words``, of which most need neither. ``settings`` are the
    fields of our config that tell this release from others; ``renamed`` maps the beginnings of the file's keys to ours,
    the first that fits being taken.
    """

    model: str
    dataset: str
    build: Callable[..., nn.Module]
    settings: dict = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def reads_words(self) -> bool:
        """Whether its embedding has a row per word of a vocabulary."""
        return "rnn" in self.settings

    def key(self, official: str) -> str:
        for theirs, ours in self.renamed.items():
            if official.startswith(theirs):
                return ours + official.removeprefix(theirs)
        return official

    def official(self, key: str) -> str:
        """The inverse of :meth:`key`."""
        for theirs, ours in self.renamed.items():
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        return key


def _char_cnn_rnn(dataset: str, variant: str, channels: tuple[int, ...]) -> Kind:
    settings = {"variant": variant, "channels": channels}
    return Kind("char-cnn-rnn", dataset, lambda mask, words: CharCnnRnn(**settings), settings)


def _rnn_encoder(dataset: str, rnn: str = "LSTM") -> Kind:
    return Kind("damsm", dataset, lambda mask, words: TextEncoder(words, rnn), {"rnn": rnn}, {"encoder.": "embedding."})


def _cnn_encoder() -> Kind:
    heads = {"emb_features.": "to_regions.", "emb_cnn_code.": "to_code."}
    return Kind("damsm", "cub", lambda mask, words: ImageEncoder(trunks.InceptionTrunk()), {}, heads | {"": "trunk."})


def _generator(model: str, dataset: str) -> Kind:
    config = configs.load(model, dataset)
    build = lambda mask, words: models.from_config(replace(config, mask=mask)).generator  # noqa: E731
    return Kind(model, dataset, build, {}, official_names.generator(config.residual_blocks))


def _discriminator(model: str, dataset: str, scale: int) -> Kind:
    config = configs.load(model, dataset)
    build = lambda mask, words: models.from_config(config).discriminators[scale]  # noqa: E731
    return Kind(model, dataset, build, {}, official_names.discriminator(scale, config.norm))


def _stack_gan(model: str, dataset: str, part: str, renamed: dict[str, str], **settings) -> Kind:
    """``part`` is generator, or the number of a discriminator; the released networks have plain blocks."""
    config = configs.load(model, dataset, **settings)

    def build(mask, words):
        networks = models.from_config(config)
        return networks.generator if part == "generator" else networks.discriminators[int(part)]

    return Kind(model, dataset, build, settings, renamed)


KINDS: dict[str, Kind] = {
    "char_cnn_rnn_birds_cvpr": _char_cnn_rnn("cub", "cvpr", (384, 512, 256)),
    "char_cnn_rnn_birds_icml": _char_cnn_rnn("cub", "icml-gru", (384, 512, 512)),
    "char_cnn_rnn_flowers_icml": _char_cnn_rnn("flowers", "icml-rnn", (384, 512, 512)),
}
for _project in ("attngan", "dmgan"):
    KINDS |= {
        f"{_project}_cub_RNN_ENCODER": _rnn_encoder("cub"),
        f"{_project}_coco_RNN_ENCODER": _rnn_encoder("coco"),
        f"{_project}_RNN_ENCODER_gru": _rnn_encoder("cub", "GRU"),
        f"{_project}_CNN_ENCODER": _cnn_encoder(),
    }
    for _dataset in ("cub", "coco"):
        _name, _model = f"{_project}_{_dataset}", {"attngan": "attngan", "dmgan": "dm-gan"}[_project]
        KINDS |= {f"{_name}_G_NET": _generator(_model, _dataset)}
        KINDS |= {f"{_name}_D_NET{64 << k}": _discriminator(_model, _dataset, k) for k in range(3)}
for _name, _dataset, _blocks in (("default", "cub", 4), ("coco", "coco", 2)):
    _one, _two = ("stackgan-cnn", _dataset), ("stackgan-stage2", _dataset)
    KINDS |= {
        f"stackgan1_{_name}_STAGE1_G": _stack_gan(*_one, "generator", official_names.stage_one_generator()),
        f"stackgan1_{_name}_STAGE1_D": _stack_gan(*_one, "0", official_names.stage_discriminator(4)),
        f"stackgan1_{_name}_STAGE2_G": _stack_gan(
            *_two, "generator", official_names.stage_two_generator(_blocks), stage1="stackgan-cnn"
        ),
        f"stackgan1_{_name}_STAGE2_D": _stack_gan(*_two, "0", official_names.stage_discriminator(8)),
    }
KINDS["stackgan2_birds3_G_NET"] = _stack_gan("stackgan2", "cub", "generator", official_names.generator(2))
for _scale in range(3):
    _names = official_names.tree_discriminator(_scale)
    KINDS[f"stackgan2_birds3_D_NET{64 << _scale}"] = _stack_gan("stackgan2", "cub", str(_scale), _names)


def load(kind: str, source: str | Path | Mapping[str, Tensor], mask: str = "official", vocabulary=None) -> nn.Module:
    """The module of a released checkpoint, in eval mode; ``source`` is a path or a state dict in the official layout.

    ``mask`` chooses the attention mask of models that have one: ``"official"`` (as released, with its fault) or
    ``"correct"``; encoders have none. ``vocabulary`` is what a text encoder of words shall read with; without it, the
    file must have as many words as the released one. Raises :class:`UserError` for an unknown kind, a file that holds
    more than tensors, and a checkpoint of another layout, alphabet, vocabulary or width, naming the file's key and both
    sizes.
    """
    check_name("kind of checkpoint", kind, KINDS)
    check_name("mask", mask, ("official", "correct"))
    layout, name = KINDS[kind], "the state dict" if isinstance(source, Mapping) else source
    weights = source if isinstance(source, Mapping) else read(Path(source))
    theirs = {layout.key(key.removeprefix("module.")): key for key in weights}  # our key: the file's
    weights = {ours: torch.as_tensor(weights[key]) for ours, key in theirs.items()}
    words = len(vocabulary) if vocabulary else VOCABULARIES.get(layout.dataset)
    if layout.reads_words:
        _check_vocabulary(weights, words, name, "the given" if vocabulary else f"the released {layout.dataset}")
    _check_alphabet(weights, name)
    module = empty(kind, mask, words)
    for key, value in module.state_dict().items():
        if key.endswith("num_batches_tracked"):  # unknown to the PyTorch that saved the older releases
            weights.setdefault(key, torch.zeros(value.shape, dtype=value.dtype))
    checkpoint.fill(module, weights, name, kind, lambda key: theirs.get(key) or layout.official(key))
    if layout.reads_words:
        module.vocabulary = vocabulary
    return module


def empty(kind: str, mask: str = "official", words: int | None = None) -> nn.Module:
    """The module of ``kind`` on the meta device, which only knows shapes; ``words`` is the size of a vocabulary."""
    layout = KINDS[kind]
    with torch.device("meta"):
        return layout.build(mask=mask, words=words or VOCABULARIES.get(layout.dataset))


def _check_vocabulary(weights: dict[str, Tensor], expected: int, name, whose: str) -> None:
    table = weights.get("embedding.weight")
    if table is not None and len(table) != expected:
        problem = f"{name}: the file's embedding has {len(table):,} words and {whose} vocabulary {expected:,}"
        raise UserError(problem, "Give the captions.pickle that this encoder was trained with: --captions FILE.")


def _check_alphabet(weights: dict[str, Tensor], name) -> None:
    first = weights.get("conv1.weight")
    if first is not None and first.ndim == 3 and first.shape[1] != len(ALPHABET):
        problem = f"{name}: the file's alphabet has {first.shape[1]} characters, the encoder's {len(ALPHABET)}"
        raise UserError(problem, "Only encoders with the published alphabet can be read.")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file. Nothing but tensors is unpickled; anything else is refused, not run."""
    if not path.is_file():
        raise UserError(f"{path} does not exist", "Name the downloaded .pth file.")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        problem = f"{path} holds more than tensors, and was not opened"
        raise UserError(problem, "Save its state_dict() alone.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        problem = f"{path} cannot be read: it is cut short or no checkpoint"
        raise UserError(problem, "Copy or download it anew.") from error
    sound = isinstance(weights, Mapping) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    )
    if not sound:
        raise UserError(f"{path} is no state dict", "Save the module's state_dict() alone.")
    return dict(weights)


def import_run(
    kind: str,
    file: Path,
    captions: Path | None = None,
    image_encoder: Path | None = None,
    text_encoder: Path | None = None,
) -> Path:
    """Write a released checkpoint as a run folder, ``$T2I_RUNS/<kind>``, and return it.

    A text encoder imported so is given to a GAN with ``--text-encoder FOLDER``. One of words needs ``captions``, the
    ``captions.pickle`` that it was trained with, and is judged together with ``image_encoder``, the released CNN
    encoder; both are found by themselves under their released names beside ``file``. A generator needs such a folder,
    ``text_encoder``, by default the one that was imported before; its discriminators come along if they lie beside it
    under their released names (``netD0.pth`` to ``netD2.pth``, or StackGAN's ``netD_epoch_last.pth``).
    """
    check_name("kind of checkpoint", kind, KINDS)
    layout, file = KINDS[kind], Path(file)
    if (captions or image_encoder) and not layout.reads_words:
        raise UserError(f"{kind} has no use for --captions and --image-encoder", "Leave them out.")
    if "_D_NET" in kind or kind.endswith("_D"):
        problem = f"{kind} is a discriminator, which comes along with its generator"
        raise UserError(problem, "Put the netD files beside the generator's and import that.")
    settings = configs.load(layout.model, layout.dataset, "paper", **layout.settings)
    if kind.endswith(("G_NET", "_G")):
        settings = replace(settings, text_encoder=str(_encoder_folder(kind, text_encoder)))
        if isinstance(settings, configs.MultiStageConfig):
            settings = replace(settings, mask="official")
        state = _generator_state(kind, file, settings)
    else:
        state = _encoder_state(kind, file, captions, image_encoder)
    directory = paths.runs_root() / kind
    paths.write_json(directory / "config.json", settings.to_dict())
    state = {"step": 0, "finished": True, "optimizers": {}, "average": None} | state
    checkpoint.save(directory / "checkpoint.pt", state | {"config": settings.to_dict()})
    return directory


def _encoder_state(kind: str, file: Path, captions: Path | None, image_encoder: Path | None) -> dict:
    layout = KINDS[kind]
    if layout.model != "damsm":
        networks, extras = {"encoder": load(kind, file).state_dict(), "image": {}}, {"image_features": "googlenet"}
    elif not layout.reads_words:
        networks, extras = {"encoder": {}, "image": load(kind, file).state_dict()}, {"vocabulary": None}
    else:
        captions = captions or _beside(file, "captions.pickle")
        vocabulary = pickles.captions(captions).vocabulary if captions else None
        text = load(kind, file, vocabulary=vocabulary).state_dict()
        image_encoder = image_encoder or _beside(file, file.name.replace("text_encoder", "image_encoder"))
        image = load("attngan_CNN_ENCODER", image_encoder).state_dict() if image_encoder else {}
        networks, extras = {"encoder": text, "image": image}, {"vocabulary": vocabulary and vocabulary.words[1:]}
    return {"networks": networks, "extras": extras}


def _generator_state(kind: str, file: Path, settings) -> dict:
    generator = load(kind, file).state_dict()
    if kind.endswith("G_NET"):
        names = {f"netD{k}.pth": kind.replace("G_NET", f"D_NET{64 << k}") for k in range(3)}
    else:
        names = {"netD_epoch_last.pth": kind.removesuffix("G") + "D"}
    found = {_beside(file, name): kind_ for name, kind_ in names.items()}
    discriminators = {
        f"{k}.{key}": value
        for k, (netd, kind_) in enumerate(found.items() if all(found) else ())
        for key, value in load(kind_, netd).state_dict().items()
    }
    return {
        "networks": {"generator": generator, "discriminators": discriminators},
        "average": generator,  # a release is the average already
        "extras": {"text_encoder": Run.load(settings.text_encoder).encoders.kept()},
    }


def _encoder_folder(kind: str, folder: Path | None) -> Path:
    """The imported text encoder of a generator."""
    encoder, file = kind.replace("G_NET", "RNN_ENCODER"), "text_encoderN.pth"
    if kind.startswith("stackgan"):
        encoder, file = CHARACTERS, "FILE.pth"
        if folder is None and KINDS[kind].dataset != KINDS[CHARACTERS].dataset:
            problem = f"{kind} reads with a Char-CNN-RNN of its own data set, and {CHARACTERS} is none"
            raise UserError(problem, "Name the folder of such an encoder with --text-encoder.")
    folder = folder or paths.runs_root() / encoder
    if not Path(folder).is_dir():
        problem = f"{folder} does not exist, and a generator reads with its own text encoder"
        raise UserError(problem, f"First: python -m t2i import {encoder} {file}; or name it: --text-encoder")
    return Path(folder).expanduser().resolve()


def _beside(file: Path, name: str) -> Path | None:
    found = file.with_name(name)
    return found if found != file and found.is_file() else None
