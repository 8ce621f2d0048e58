"""Checkpoints: whole or absent, and read without running anything that is in them."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from t2i import paths
from t2i.errors import UserError

FORMAT = 2


class State(TypedDict, total=False):
    """What a checkpoint holds, and nothing else does; every weight is a tensor, the rest plain containers."""

    config: dict  # Config.to_dict()
    asked: dict  # settings that the machine decided when the run began, with what was asked for: {"precision": "auto"}
    objective: str  # the class of training.objectives, of a GAN
    data: str  # the digest of the data set
    step: int
    finished: bool
    seconds: float  # of training, over all its parts
    networks: dict[str, dict]  # state dicts by name
    average: dict | None  # the state dict of the averaged generator
    optimizers: dict[str, dict]
    extras: dict  # what else the run folder needs to be used alone: encoders, a vocabulary, Stage-I's settings


def save(path: Path, state: State) -> None:
    """Write ``state`` (tensors and plain containers) to ``path``, atomically."""
    paths.write_atomically(path, lambda temporary: torch.save({"format": FORMAT, **state}, temporary))


def read(path: Path, optimizers: bool = True) -> State:
    """The state saved at ``path``, on the CPU; without ``optimizers`` theirs, two thirds of the file, is not read.

    Raises :class:`UserError` where the file is missing, cut short, or not a checkpoint of this course.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist", "Train the run first, or name another folder with --run.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=not optimizers)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is cut short or damaged",
            "Delete it (or the whole run folder) and start the run again, or copy the file anew.",
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(
            f"{path} is no checkpoint of this course, or one of an older version (format {FORMAT} is read)",
            "Released weights of other projects are read with: python -m t2i import KIND FILE.pth",
        )
    if not optimizers:  # what is kept is copied, so that the file is closed and may be replaced
        state = _map_tensors({name: part for name, part in state.items() if name != "optimizers"}, torch.Tensor.clone)
    return state


def on_cpu(state: State) -> State:
    """``state`` without the optimisers, with every tensor on the CPU and apart from any network."""
    return _map_tensors({k: v for k, v in state.items() if k != "optimizers"}, lambda tensor: tensor.detach().cpu())


def _map_tensors(value, function: Callable[[torch.Tensor], torch.Tensor]):
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: _map_tensors(part, function) for name, part in value.items()}
    return [_map_tensors(part, function) for part in value] if isinstance(value, list) else value


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
    of the papers that takes seconds. A buffer that the state dict leaves out would stay undefined. Whoever asks, and in
    whatever mode, the weights can be trained and differentiated.
    """
    with torch.inference_mode(False):
        load_weights(module.to_empty(device="cpu"), weights, path, what, called)
    return module.eval()
