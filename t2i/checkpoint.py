"""Checkpoints: whole or absent, and read without running anything that is in them."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from t2i import paths
from t2i.errors import UserError

FORMAT = 1


def save(path: Path, state: dict) -> None:
    """Write ``state`` (tensors and plain containers) to ``path``, atomically."""
    paths.write_atomically(path, lambda temporary: torch.save({"format": FORMAT, **state}, temporary))


def read(path: Path) -> dict:
    """The state saved at ``path``, on the CPU.

    Raises :class:`UserError` where the file is missing, cut short, or not a checkpoint of this course.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist", "Train the run first, or name another folder with --run.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is cut short or damaged",
            "Delete it (or the whole run folder) and start the run again, or copy the file anew.",
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(
            f"{path} is no checkpoint of this course (format {FORMAT})",
            "Released weights of other projects are read with: python -m t2i import KIND FILE.pth",
        )
    return state


def load_weights(module: nn.Module, weights: dict, path: Path, what: str, called: Callable[[str], str] = str) -> None:
    """Load ``weights`` into ``module``; every key and shape must fit, and the first that does not is named.

    ``called`` gives the name that a key has in the file at ``path``, where that is another.
    """
    own = module.state_dict()
    for key in {**own, **weights}:
        here, there = own.get(key), weights.get(key)
        if here is None or there is None or here.shape != there.shape:
            expected = "nothing" if here is None else tuple(here.shape)
            found = "nothing" if there is None else tuple(there.shape)
            raise UserError(
                f"{path}: {what} does not fit this model: {called(key)} is {found} in the file and {expected} here",
                "Use the model, data set, profile and vocabulary of the file; a run's config.json names them.",
            )
    module.load_state_dict(weights)


def fill(module: nn.Module, weights: dict, path: Path, what: str, called: Callable[[str], str] = str) -> nn.Module:
    """``module`` with memory on the CPU and ``weights`` in it, by :func:`load_weights`, in eval mode.

    Meant for modules from the meta device, where nothing is initialised that the weights overwrite anyway; at the size
    of the papers that takes seconds. A buffer that the state dict leaves out would stay undefined.
    """
    load_weights(module.to_empty(device="cpu"), weights, path, what, called)
    return module.eval()
