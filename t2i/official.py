"""Released checkpoints: read safely, checked key by key, and put into the course's own modules."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from t2i import checkpoint, paths, pickles
from t2i import config as configs
from t2i.config.settings import Mask
from t2i.errors import UserError, check_name
from t2i.official_kinds import CHARACTERS, IMAGE_ENCODER, KINDS
from t2i.text.characters import ALPHABET
from t2i.training.run import Run

VOCABULARIES = {"cub": 5_450, "coco": 27_297}  # words of the released captions.pickle files, <end> included


def load(kind: str, source: str | Path | Mapping[str, Tensor], mask: str = "official", vocabulary=None) -> nn.Module:
    """The module of a released checkpoint, in eval mode; ``source`` is a path or a state dict in the official layout.

    ``mask`` chooses the attention mask of models that have one: ``"official"`` (as released, with its fault) or
    ``"correct"``; encoders have none. ``vocabulary`` is what a text encoder of words shall read with; without it, the
    file must have as many words as the released one. Raises :class:`UserError` for an unknown kind, a file that holds
    more than tensors, and a checkpoint of another layout, alphabet, vocabulary or width, naming the file's key and both
    sizes.
    """
    check_name("kind of checkpoint", kind, KINDS)
    check_name("mask", mask, get_args(Mask))
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
    if layout.part == "discriminator":
        problem = f"{kind} is a discriminator, which comes along with its generator"
        raise UserError(problem, "Put the netD files beside the generator's and import that.")
    settings = configs.load(layout.model, layout.dataset, "paper", **layout.settings)
    if layout.part == "generator":
        settings = replace(settings, text_encoder=str(_encoder_folder(kind, text_encoder)))
        if isinstance(settings, configs.MultiStageConfig):
            settings = replace(settings, mask="official")
        state = _generator_state(kind, file, settings)
    else:
        state = _encoder_state(kind, file, captions, image_encoder)
    directory = paths.runs_root() / kind
    paths.write_json(directory / "config.json", settings.to_dict())
    state = {"step": 0, "finished": True, "optimizers": {}, "average": None, "asked": {}, "objective": ""} | state
    checkpoint.save(directory / "checkpoint.pt", state | {"config": settings.to_dict()})
    return directory


def _encoder_state(kind: str, file: Path, captions: Path | None, image_encoder: Path | None) -> dict:
    layout = KINDS[kind]
    if layout.part == "image encoder":
        networks, extras = {"encoder": {}, "image": load(kind, file).state_dict()}, {"vocabulary": None}
    elif not layout.reads_words:
        networks, extras = {"encoder": load(kind, file).state_dict(), "image": {}}, {"image_features": "googlenet"}
    else:
        captions = captions or _beside(file, "captions.pickle")
        vocabulary = pickles.captions(captions).vocabulary if captions else None
        text = load(kind, file, vocabulary=vocabulary).state_dict()
        image_encoder = image_encoder or _beside(file, file.name.replace("text_encoder", "image_encoder"))
        image = load(IMAGE_ENCODER, image_encoder).state_dict() if image_encoder else {}
        networks, extras = {"encoder": text, "image": image}, {"vocabulary": vocabulary and vocabulary.words[1:]}
    return {"networks": networks, "extras": extras}


def _generator_state(kind: str, file: Path, settings) -> dict:
    generator = load(kind, file).state_dict()
    found = [(_beside(file, name), released) for name, released in KINDS[kind].beside.items()]
    complete = all(path for path, _ in found)
    discriminators = {
        f"{k}.{key}": value
        for k, (path, released) in enumerate(found if complete else ())
        for key, value in load(released, path).state_dict().items()
    }
    return {
        "networks": {"generator": generator, "discriminators": discriminators},
        "average": generator,  # a release is the average already
        "extras": {"text_encoder": Run.load(settings.text_encoder).encoders.kept()},
    }


def _encoder_folder(kind: str, folder: Path | None) -> Path:
    """The imported text encoder of a generator."""
    encoder = KINDS[kind].encoder or CHARACTERS
    if folder is None and KINDS[kind].encoder is None:
        problem = f"{kind} reads with a Char-CNN-RNN of its own data set, and {encoder} is none"
        raise UserError(problem, "Name the folder of such an encoder with --text-encoder.")
    folder = folder or paths.runs_root() / encoder
    if not Path(folder).is_dir():
        problem = f"{folder} does not exist, and a generator reads with its own text encoder"
        file = "text_encoderN.pth" if KINDS[encoder].reads_words else "FILE.pth"
        raise UserError(problem, f"First: python -m t2i import {encoder} {file}; or name it: --text-encoder")
    return Path(folder).expanduser().resolve()


def _beside(file: Path, name: str) -> Path | None:
    found = file.with_name(name)
    return found if found != file and found.is_file() else None
