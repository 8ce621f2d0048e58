"""The lessons as a student works in them: copies in ``workbook/``, which git ignores, so that running a lesson changes
nothing that the next ``git pull`` brings."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from t2i import course, paths
from t2i.errors import UserError

FOLDER = "workbook"  # beside notebooks/, so that the lessons' links to README.md and data/ lead where they did
FIRST = "00_tour.ipynb"


class Copied(NamedTuple):
    """What :func:`prepare` did: the copies it ``made``, and those that were there and are of an ``older`` lesson."""

    made: list[Path]
    older: list[Path]


def prepare(root: Path | None = None) -> Copied:
    """Copy the lessons and solutions that ``workbook/`` lacks, and leave what is there; ``root`` is the checkout.

    A copy remembers the digest of the file that it was made from. Raises :class:`UserError` where there are no lessons
    or one is no notebook.
    """
    root = Path(root or paths.checkout())
    made, older = [], []
    for notebook in [*course.lessons(root), *course.solutions(root)]:
        copy = root / FOLDER / notebook.relative_to(root / "notebooks")
        content = notebook.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if not copy.exists():
            try:
                cells = json.loads(content)
                cells["metadata"]["t2i"] = {"copied_from": digest}
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{notebook} is no notebook ({error})", "Restore it: git checkout") from error
            text = json.dumps(cells, indent=1, ensure_ascii=False) + "\n"
            paths.write_atomically(copy, lambda path, text=text: path.write_text(text, encoding="utf-8"))
            made.append(copy)
        elif _origin(copy) not in (None, digest):
            older.append(copy)
    return Copied(made, older)


def _origin(copy: Path) -> str | None:
    """The digest of the lesson that a copy was made from; None where it does not say."""
    try:
        return json.loads(copy.read_text(encoding="utf-8"))["metadata"]["t2i"]["copied_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def command(root: Path, browser: bool, port: int) -> list[str]:
    """What starts JupyterLab: the checkout is its root, so that every link of a lesson works, and the tour is open."""
    options = [f"--ServerApp.root_dir={root}", f"--ServerApp.port={port}"]
    quiet = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
    return [
        *(sys.executable, "-m", "jupyter", "lab", *options, quiet),
        *([] if browser else ["--no-browser"]),
        str(root / FOLDER / FIRST),
    ]


def open_lab(browser: bool, port: int) -> int:
    """Prepare the copies and become JupyterLab (on Windows: run it, and return its exit status)."""
    copied, root = prepare(), paths.checkout()
    if copied.made:
        print(f"{len(copied.made)} lessons and solutions are copied to {root / FOLDER}, where you can change them.")
    for copy in copied.older:
        print(f"{copy} was made from an earlier lesson: rename it to get the new one at the next start.")
    # Kernels start in the lessons' folder, where a relative path would name another place than here.
    os.environ.update(T2I_RUNS=str(paths.runs_root()), T2I_DATA=str(paths.data_root()))
    sys.stdout.flush()
    if os.name == "nt":
        return subprocess.call(command(root, browser, port))
    os.execv(sys.executable, command(root, browser, port))
