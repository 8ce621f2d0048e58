"""Reads the course's own trained models, which come with it in ``data/released``: see :mod:`t2i.released`."""

import json
from pathlib import Path

from safetensors import safe_open

from t2i import config as configs
from t2i import paths
from t2i.errors import UserError
from t2i.training.run import Run

PREFIX = "released:"  # before a name, wherever the command line takes the folder of a run
WEIGHTS = "weights.safetensors"
LENT = "image_encoder_of"  # beside a model's encoders: the released model that has their image encoder
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
    file = folder / WEIGHTS
    try:
        with safe_open(file, "pt") as kept:
            state = json.loads(kept.metadata()["state"])
            for path in list(kept.keys()):
                *parents, last = json.loads(path)
                place = state
                for part in parents:
                    place = place[part]
                tensor = kept.get_tensor(path)
                place[last] = tensor.float() if tensor.is_floating_point() else tensor
    except Exception as error:  # safetensors has errors of its own
        raise UserError(f"{file} cannot be read ({error})", paths.restore(folder)) from error
    encoders = state["extras"].get("text_encoder", {})
    if lender := encoders.get(LENT):
        encoders["image"] = load(lender).state["extras"]["text_encoder"]["image"]
    found = Run(configs.from_dict(state["config"]), state, folder)
    found.is_released = True
    return found


def beside(run: Run, name: str) -> Run:
    """The released model ``name``, trained for longer, to look at in place of ``run``; ``run`` itself where the model
    does not come with this checkout, or has learned from other data: drawn birds of either set are the same."""
    if name not in NAMES:
        return run
    trained = load(name)
    learned = {one.config.data_name for one in (run, trained)}
    return trained if len(learned) == 1 or learned <= set(configs.DRAWN) else run
