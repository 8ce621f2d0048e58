"""Released checkpoints: read safely, checked key by key, and put into the course's own modules."""

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from t2i import checkpoint, contents, locks, official_layout, own, paths, pickles
from t2i import config as configs
from t2i.config.settings import Mask
from t2i.errors import UserError, check_name, refused
from t2i.official_kinds import CHARACTERS, IMAGE_ENCODER, KINDS
from t2i.text.characters import ALPHABET
from t2i.training.run import Run

VOCABULARIES = {"cub": 5_450, "coco": 27_297}  # words of the released captions.pickle files, <end> included
_ASKED = re.compile(r"(?:GLOBAL|global|class|function) ([\w.]+\.\w+)")  # how torch names what it refuses
_SYSTEM = {"builtins", "__builtin__", "os", "posix", "nt", "sys", "subprocess", "shutil", "runpy", "pty", "webbrowser"}


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
    found = official_layout.flat(source) if isinstance(source, Mapping) else read(Path(source))
    words = len(vocabulary) if vocabulary else VOCABULARIES.get(layout.dataset)
    module = empty(kind, mask, words)
    part = official_layout.choose(found, [layout.official(key) for key in module.state_dict()], name)
    theirs = {layout.key(key): file_key for key, file_key in part.items()}  # our key: the file's
    weights = {ours: torch.as_tensor(found[key]) for ours, key in theirs.items()}
    if layout.reads_words:
        _check_vocabulary(weights, words, name, "the given" if vocabulary else f"the released {layout.dataset}")
    _check_alphabet(weights, name)
    for key, value in module.state_dict().items():
        if key.endswith("num_batches_tracked"):  # unknown to the PyTorch that saved the older releases
            weights.setdefault(key, torch.zeros(value.shape, dtype=value.dtype))
    called = lambda key: theirs.get(key) or layout.official(key)  # noqa: E731
    try:
        checkpoint.fill(module, weights, name, kind, called, "")
    except UserError as error:
        raise UserError(error.problem, error.mend or _other_kind(found)) from None
    if layout.reads_words:
        module.vocabulary = vocabulary
    return module


def _other_kind(found: Mapping[str, Tensor]) -> str:
    """What to do about weights that are not of the kind that was named: the kinds that they are of."""
    shapes = {tuple(value.shape) for value in found.values()}
    fitting = [kind for kind in KINDS if _is_of(kind, found, shapes)]
    if fitting:
        return f"It is of the kind {' or '.join(fitting)}: name that."
    return f"It fits none of the kinds: {', '.join(KINDS)}."


def _is_of(kind: str, found: Mapping[str, Tensor], shapes: set[tuple]) -> bool:
    layout = KINDS[kind]
    own = empty(kind, words=_words(found) if layout.reads_words else None).state_dict()
    own = {layout.official(key): value for key, value in own.items() if not key.endswith("num_batches_tracked")}
    if not {tuple(value.shape) for value in own.values()} <= shapes:
        return False
    part = official_layout.fitting(found, list(own))
    return part is not None and all(found[part[key]].shape == value.shape for key, value in own.items())


def _words(found: Mapping[str, Tensor]) -> int | None:
    """The rows of an embedding of words."""
    tables = (value for key, value in found.items() if key.endswith("encoder.weight") and value.ndim == 2)
    return next((len(table) for table in tables), None)


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
    """The tensors of a ``.pth`` or ``.safetensors`` file by their keys; those of nested containers are joined by dots.

    Nothing but tensors and plain containers is unpickled; anything else is refused, not run. Raises :class:`UserError`
    that says what the file is instead.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist", "Name the downloaded .pth file.")
    if path.is_dir():
        raise contents.refuse(path, ("is a folder", "Name a file."))
    try:
        checkpoint.check_sums(path)
        weights = load_file(path) if contents.is_safetensors(path) else _unpickled(path)
    except Exception as error:  # a damaged file raises whatever its misread instructions happen to raise
        if isinstance(error, pickle.UnpicklingError) and (asked := _ASKED.search(str(error))):
            raise _more_than_tensors(path, asked[1]) from error
        otherwise = "cannot be read: it is cut short, damaged or no checkpoint", "Copy or download it anew."
        raise refused(error) or contents.refuse(path, otherwise) from error
    found = official_layout.flat(weights) if isinstance(weights, Mapping) else {}
    if not found:
        raise UserError(f"{path} is no state dict", "Save the module's state_dict() alone.")
    return found


def _unpickled(path: Path):
    with warnings.catch_warnings(action="ignore"):  # about the storages of old files
        return torch.load(path, map_location="cpu", weights_only=True)


def _more_than_tensors(path: Path, asked: str) -> UserError:
    """``asked`` is the name that the pickle wanted: a class of the project that saved it, or something worse."""
    problem = f"{path} holds more than tensors, and was not opened: it asks for {asked[:80]}"
    if asked.partition(".")[0] in _SYSTEM:
        return UserError(f"{problem}, which no weights need", "Trust it with no other program either.")
    mend = "Where it was made, save the module's state_dict() alone: torch.save(module.state_dict(), FILE)."
    return UserError(problem, mend)


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
    layout, file, directory = KINDS[kind], Path(file), paths.runs_root() / kind
    own.check_import(directory)
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
    state = {"step": 0, "finished": True, "optimizers": {}, "average": None, "asked": {}, "objective": ""} | state
    with locks.only_writer(directory):
        own.drop_figures(directory)
        paths.write_json(directory / "config.json", settings.to_dict())
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
