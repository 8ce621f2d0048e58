"""Where things lie: the checkout, the data sets and the runs.

``T2I_DATA`` and ``T2I_RUNS`` move data and runs; without them both stay inside the checkout. Notebooks are started
from different folders by Jupyter, nbval and papermill, so nothing in the course builds a path from the current folder.
"""

import json
import os
import tempfile
from pathlib import Path

from t2i.errors import UserError


def checkout() -> Path:
    """The folder that holds ``t2i/``, ``notebooks/`` and ``data/``."""
    return Path(__file__).resolve().parent.parent


def _from_environment(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().resolve()


def data_root() -> Path:
    """``T2I_DATA``, or ``data/downloads`` in the checkout."""
    return _from_environment("T2I_DATA", checkout() / "data" / "downloads")


def runs_root() -> Path:
    """``T2I_RUNS``, or ``runs`` in the checkout."""
    return _from_environment("T2I_RUNS", checkout() / "runs")


def cache_root() -> Path:
    """Where decoded images are kept; a data set itself may be read-only."""
    return data_root() / "cache"


def recorded_results() -> Path:
    """The committed folder of recorded runs."""
    return checkout() / "data" / "results"


def released() -> Path:
    """The committed folder of trained models that come with the course."""
    return checkout() / "data" / "released"


def write_atomically(path: Path, write) -> None:
    """Call ``write(temporary_path)`` and move the finished file to ``path``: the file is whole or absent."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder", "Name a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
