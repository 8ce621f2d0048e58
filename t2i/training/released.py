"""Reads the course's own trained models, which come with it in ``data/released``: see :mod:`t2i.released`."""

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from t2i import config as configs
from t2i import paths
from t2i.errors import UserError
from t2i.training.run import Run

PREFIX = "released:"  # before a name, wherever the command line takes the folder of a run
WEIGHTS = "weights.safetensors"
LENT = "lent"  # in a model's state: {another released model: {path of a tensor here: its path there}}
NAMES = tuple(sorted(file.parent.name for file in paths.released().glob(f"*/{WEIGHTS}")))


def load(name: str) -> Run:
    """The released model ``name``; :class:`UserError` for a name that is none, naming those that are."""
    if name not in NAMES:
        there = f"those that come with the course: {', '.join(NAMES)}" if NAMES else "none comes with this checkout"
        raise UserError(f"There is no released model called {name!r}", f"Choose one of {there}.")
    return read(paths.released() / name)


def run(where: str | Path) -> Run:
    """The run that ``where`` names: a folder, or "released:" and the name of a released model."""
    where = str(where)
    return load(where.removeprefix(PREFIX)) if where.startswith(PREFIX) else Run.load(where)


def read(folder: Path) -> Run:
    """The released model in ``folder``, in float32; :class:`UserError` where its files are damaged."""
    state, tensors = stored(folder)
    for lender, places in state.pop(LENT, {}).items():
        _, theirs = stored(paths.released() / lender, places.values())
        tensors |= {path: theirs[there] for path, there in places.items()}
    for path, tensor in tensors.items():
        *parents, last = json.loads(path)
        place = state
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = tensor.float() if tensor.is_floating_point() else tensor
    found = Run(configs.from_dict(state["config"]), state, folder)
    found.is_released = True
    return found


def stored(folder: Path, chosen: Iterable[str] | None = None) -> tuple[dict, dict[str, Tensor]]:
    """What lies in ``folder`` itself: the state without its tensors, and all tensors or the ``chosen`` ones, under
    their paths as JSON lists. :class:`UserError` where the file is damaged."""
    file = folder / WEIGHTS
    try:
        with safe_open(file, "pt") as kept:
            names = list(kept.keys()) if chosen is None else chosen
            return json.loads(kept.metadata()["state"]), {path: kept.get_tensor(path) for path in names}
    except Exception as error:  # safetensors has errors of its own
        raise UserError(f"{file} cannot be read ({error})", paths.restore(folder)) from error


def beside(run: Run, name: str) -> Run:
    """The released model ``name``, trained for longer, to look at in place of ``run``; ``run`` itself where the model
    does not come with this checkout, or has learned from other data: drawn birds of either set are the same."""
    if name not in NAMES:
        return run
    trained = load(name)
    learned = {one.config.data_name for one in (run, trained)}
    return trained if len(learned) == 1 or learned <= set(configs.DRAWN) else run
