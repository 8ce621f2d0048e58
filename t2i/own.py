"""Folders that this program writes into: never over what it did not write."""

import json
from collections.abc import Iterable
from pathlib import Path

from t2i.errors import UserError

FIGURES = "result*.json", "curve.json", "samples/step_*.png"  # of a run that another replaces
_SIGNS = "config.json", "result.json", "curve.json"  # any of which says model and profile
_WRITTEN = (*_SIGNS, "checkpoint.pt", "stats.jsonl", "samples")


def check_run(folder: Path) -> None:
    """:class:`UserError` where a file in ``folder`` has the name of one that a run writes, and is of no run."""
    _check(folder, [folder / name for name in _WRITTEN if (folder / name).exists()])


def check_import(folder: Path) -> None:
    """:class:`UserError` where ``folder`` holds anything but what an earlier import left there."""
    check_whole(folder)
    if (folder / "stats.jsonl").exists():
        problem = f"{folder} holds a run that was trained here"
        raise UserError(problem, "Move it away, or name another place in T2I_RUNS.")


def check_whole(folder: Path) -> None:
    """:class:`UserError` where ``folder`` is a file, or holds files and is of no run."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, where a folder is needed", "Move it away.")
    _check(folder, [file for file in folder.glob("*") if not file.name.startswith(".")])


def drop_figures(folder: Path) -> None:
    """Remove from a run folder the figures and pictures of the model that was there before."""
    for pattern in FIGURES:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def _check(folder: Path, there: Iterable[Path]) -> None:
    names = [file.name for file in there]
    if names and not any(_is_sign(folder / name) for name in _SIGNS):
        problem = f"{folder} holds files that are of no run of this program ({', '.join(sorted(names)[:4])})"
        raise UserError(problem, "Name an empty folder, or move them away.")


def _is_sign(file: Path) -> bool:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"model", "dataset", "profile"} <= found.keys()
