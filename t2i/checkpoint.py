"""Checkpoints: whole or absent, and read without running anything that is in them."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from t2i import contents, paths
from t2i.errors import UserError, refused

FORMAT = 2
_NEEDED = {"config", "asked", "objective", "step", "finished", "networks", "average", "extras"}
_MEND = "Use the model, data set, profile and vocabulary of the file; a run's config.json names them."


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
    """The state saved at ``path``, on the CPU; without ``optimizers`` theirs, two thirds of the file, is not loaded.

    Raises :class:`UserError` where the file is missing, may not be read, is cut short or damaged (by a single bit), or
    is no checkpoint of this course.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist", "Train the run first, or name another folder with --run.")
    try:
        check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=not optimizers)
    except Exception as error:  # a damaged file raises whatever its misread instructions happen to raise
        mend = "Delete it (or the whole run folder) and start the run again, or copy the file anew."
        otherwise = "cannot be read as a checkpoint: it is cut short or damaged", mend
        raise refused(error) or contents.refuse(path, otherwise) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT or not state.keys() >= _NEEDED:
        raise UserError(
            f"{path} is no checkpoint of this course, or one of an older version (format {FORMAT} is read)",
            "Released weights of other projects are read with: python -m t2i import KIND FILE.pth",
        )
    if not optimizers:  # what is kept is copied, so that the file is closed and may be replaced
        state = _map_tensors({name: part for name, part in state.items() if name != "optimizers"}, torch.Tensor.clone)
    return state


def check_sums(path: Path) -> None:
    """An error for a zip file of which a single bit has changed: torch itself does not look at its check sums."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            if damaged := packed.testzip():
                raise zipfile.BadZipFile(f"{damaged} is damaged")


def on_cpu(state: State) -> State:
    """``state`` without the optimisers, with every tensor on the CPU and apart from any network."""
    return _map_tensors({k: v for k, v in state.items() if k != "optimizers"}, lambda tensor: tensor.detach().cpu())


def _map_tensors(value, function: Callable[[torch.Tensor], torch.Tensor]):
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: _map_tensors(part, function) for name, part in value.items()}
    return [_map_tensors(part, function) for part in value] if isinstance(value, list) else value


def load_weights(
    module: nn.Module, weights: dict, path: Path, what: str, called: Callable[[str], str] = str, mend: str = _MEND
) -> None:
    """Load ``weights`` into ``module``; every key and shape must fit, every value must be a number that a network can
    draw with, and the first that is not is named.

    ``called`` gives the name that a key has in the file at ``path``, where that is another; ``mend`` says what to do
    about what does not fit.
    """
    own, trained = module.state_dict(), dict(module.named_parameters())
    for key in {**own, **weights}:
        here, there = own.get(key), weights.get(key)
        if here is None or there is None or here.shape != there.shape:
            expected = "nothing" if here is None else tuple(here.shape)
            found = "nothing" if there is None else tuple(there.shape)
            sizes = f"{called(key)} is {found} in the file and {expected} here"
            raise UserError(f"{path}: {what} does not fit this model: {sizes}", mend)
        if fault := _fault(here, there, matrix=key in trained and here.ndim > 1, variance=key.endswith("running_var")):
            problem = f"{path}: {what} cannot be used: {called(key)} {fault}"
            raise UserError(problem, "Take a file from before it was damaged, or the release itself.")
    module.load_state_dict(weights)


def _fault(here: torch.Tensor, there: torch.Tensor, matrix: bool, variance: bool) -> str | None:
    """Why the tensor ``there`` cannot take the place of ``here`` although it has its shape."""
    if there.is_meta or there.layout is not torch.strided or there.is_quantized:
        return "is kept in a way that holds no plain numbers"
    if there.is_floating_point() != here.is_floating_point() or there.is_complex():
        return f"holds numbers of type {str(there.dtype).removeprefix('torch.')}"
    if not there.is_floating_point():
        return None
    values = there if there.dtype.itemsize > 1 else there.float()
    if not values.isfinite().all():
        return "holds values that are no finite numbers"
    if matrix and not values.any():
        return "is zero throughout"
    return "holds variances below zero" if variance and (values < 0).any() else None


def fill(module: nn.Module, weights: dict, path: Path, what: str, *more) -> nn.Module:
    """``module`` with memory on the CPU and ``weights`` in it, by :func:`load_weights`, in eval mode.

    Meant for modules from the meta device, where nothing is initialised that the weights overwrite anyway; at the size
    of the papers that takes seconds. A buffer that the state dict leaves out would stay undefined. Whoever asks, and in
    whatever mode, the weights can be trained and differentiated.
    """
    with torch.inference_mode(False):
        load_weights(module.to_empty(device="cpu"), weights, path, what, *more)
    return module.eval()
