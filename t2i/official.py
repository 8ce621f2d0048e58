"""Released checkpoints: read safely, checked key by key, and put into the course's own modules."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from t2i import checkpoint, paths
from t2i import config as configs
from t2i.errors import UserError
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.characters import ALPHABET

# Kind -> (variant, widths of the convolutions, data set) of the published Char-CNN-RNN encoders.
CHAR_CNN_RNN = {
    "char_cnn_rnn_birds_cvpr": ("cvpr", (384, 512, 256), "cub"),
    "char_cnn_rnn_birds_icml": ("icml-gru", (384, 512, 512), "cub"),
    "char_cnn_rnn_flowers_icml": ("icml-rnn", (384, 512, 512), "flowers"),
}
KINDS = tuple(CHAR_CNN_RNN)


def load(kind: str, source: str | Path | Mapping[str, Tensor], mask: str = "official") -> nn.Module:
    """The module of a released checkpoint, in eval mode; ``source`` is a path or a state dict in the official layout.

    ``mask`` chooses the attention mask of models that have one: ``"official"`` (as released, with its fault) or
    ``"correct"``; Char-CNN-RNN has none. Raises :class:`UserError` for an unknown kind, a file that holds more than
    tensors, and a checkpoint of another layout, alphabet or width, naming both sizes.
    """
    if kind not in KINDS:
        raise UserError(f"There is no kind of checkpoint called {kind!r}", f"Choose one of: {', '.join(KINDS)}.")
    if mask not in ("official", "correct"):
        raise UserError(f"There is no mask called {mask!r}", "Choose official or correct.")
    variant, channels, _ = CHAR_CNN_RNN[kind]
    weights = source if isinstance(source, Mapping) else read(Path(source))
    weights = {key.removeprefix("module."): torch.as_tensor(value) for key, value in weights.items()}
    name = "the state dict" if isinstance(source, Mapping) else source
    first = weights.get("conv1.weight")
    if first is not None and first.ndim == 3 and first.shape[1] != len(ALPHABET):
        raise UserError(
            f"{name}: the file's alphabet has {first.shape[1]} characters, the encoder's {len(ALPHABET)}",
            "Only encoders with the published alphabet can be read.",
        )
    encoder = CharCnnRnn(variant, channels)
    checkpoint.load_weights(encoder, weights, name, kind)
    return encoder.eval()


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file. Nothing but tensors is unpickled; anything else is refused, not run."""
    if not path.is_file():
        raise UserError(f"{path} does not exist", "Name the downloaded .pth file.")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors, and was not opened", "Save its state_dict() alone."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read: it is cut short or no checkpoint", "Copy or download it anew."
        ) from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{path} is no state dict", "Save the module's state_dict() alone.")
    return dict(weights)


def import_run(kind: str, file: Path) -> Path:
    """Write a released checkpoint as a run folder, ``$T2I_RUNS/<kind>``, and return it.

    A text encoder imported so is given to a GAN with ``--text-encoder FOLDER``.
    """
    encoder = load(kind, file)
    variant, channels, dataset = CHAR_CNN_RNN[kind]
    settings = configs.load("char-cnn-rnn", dataset, "paper", variant=variant, channels=channels)
    directory = paths.runs_root() / kind
    state = {
        "config": settings.to_dict(),
        "step": 0,
        "finished": True,
        "networks": {"encoder": encoder.state_dict(), "image": {}},
        "optimizers": {},
        "ema": None,
        "extras": {"image_features": "googlenet"},
    }
    paths.write_json(directory / "config.json", settings.to_dict())
    checkpoint.save(directory / "checkpoint.pt", state)
    return directory
