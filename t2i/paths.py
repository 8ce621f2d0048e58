"""Where things lie: the checkout, the data sets and the runs.

``T2I_DATA`` and ``T2I_RUNS`` move data and runs; without them both stay inside the checkout or, of an installed wheel,
in ``t2i`` in the home folder. Notebooks are started from different folders by Jupyter, nbval and papermill, so nothing
in the course builds a path from the current folder.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from t2i.errors import UserError, refused

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_CARRIED = Path(__file__).resolve().parent / "_data"  # of a wheel: the part of data/ that the package reads (setup.py)
_PREFIX, _SUFFIX = ".t2i-", ".tmp"  # of files that are being written
_PROBE = 1 << 20  # bytes


def checkout() -> Path:
    """The folder that holds ``t2i/``, ``notebooks/`` and ``data/``."""
    return Path(__file__).resolve().parent.parent


def _home() -> Path:
    return Path.home() / "t2i" if _CARRIED.is_dir() else checkout()


def _from_environment(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().resolve()


def data_root() -> Path:
    """``T2I_DATA``, or ``data/downloads`` in the checkout (of a wheel: in ``~/t2i``)."""
    return _from_environment("T2I_DATA", _home() / "data" / "downloads")


def runs_root() -> Path:
    """``T2I_RUNS``, or ``runs`` in the checkout (of a wheel: in ``~/t2i``)."""
    return _from_environment("T2I_RUNS", _home() / "runs")


def cache_root() -> Path:
    """Where decoded images are kept; a data set itself may be read-only."""
    return data_root() / "cache"


def course_data() -> Path:
    """What is committed in ``data/``: in the checkout, or what a wheel carries of it."""
    return _CARRIED if _CARRIED.is_dir() else checkout() / "data"


def restore(file: Path) -> str:
    """How whoever misses ``file``, which comes with the course, gets it back."""
    if _CARRIED.is_dir():
        return "Restore it: pip install --force-reinstall --no-deps, with the wheel or the folder t2i came from."
    return f"Restore it: git checkout -- {file.relative_to(checkout()) if file.is_relative_to(checkout()) else file}"


def recorded_results() -> Path:
    """The committed folder of recorded runs."""
    return course_data() / "results"


def released() -> Path:
    """The committed folder of trained models that come with the course."""
    return course_data() / "released"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, what the place of ``path`` refuses (a full or read-only disk, a missing permission, a name too long)
    becomes a :class:`UserError` that names it, whichever library was writing."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if found := refused(error, Path(path)) or _refused_now(error, Path(path)):
            raise found from error
        raise


def _refused_now(error: Exception, path: Path) -> UserError | None:
    """What the folder of ``path`` refuses to whoever writes a little into it; some writers, such as NumPy's, say only
    that less was written than they were given."""
    if not isinstance(error, OSError) or error.errno is not None:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(_PROBE))
    except OSError as now:
        return refused(now, path)
    return None


def write_atomically(path: Path, write) -> None:
    """Call ``write(temporary_path)`` and move the finished file to ``path``: the file is whole or absent.

    A link is followed. Raises :class:`UserError` where ``path`` is a folder, a device or a pipe, and for whatever its
    place refuses. What writers that were killed left in the folder is removed.
    """
    path = Path(path)
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise UserError(f"{path} is a folder", "Name a file.")
        if target.is_symlink():
            raise UserError(f"{path} is a link that leads in a circle", "Name a file.")
        if target.exists() and not target.is_file():
            raise UserError(f"{path} is no file but a device or a pipe", "Name a file.")
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with _temporary(target.parent) as temporary:
            write(temporary)
            with suppress(OSError):  # a disk without permissions
                os.chmod(temporary, 0o644)
            with open(temporary, "r+b") as written:  # Windows syncs no file that is open for reading only
                os.fsync(written.fileno())
            os.replace(temporary, target)


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A new file in ``folder`` that is gone afterwards, unless it was moved; :func:`sweep` lets it be while it is held.

    Its name has nothing of the target's, which may be as long as the disk allows.
    """
    handle, file = _held(folder)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _held(folder: Path) -> tuple[int | None, Path]:
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_PREFIX, suffix=_SUFFIX)
        if not fcntl:
            os.close(handle)  # Windows renames no open file
            return None, Path(name)
        with suppress(OSError):  # a disk without locks: nobody sweeps there either
            fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # swept before it was held


def sweep(folder: Path) -> None:
    """Remove the temporary files in ``folder`` that no living process holds: those of writers that were killed."""
    if not fcntl:
        return
    for file in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError), open(file, "rb") as left:  # held by a living writer, or gone meanwhile
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()


def write_json(path: Path, value) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    try:
        content = text.encode()
    except UnicodeEncodeError:  # a file name that is no UTF-8
        content = (json.dumps(value, indent=2) + "\n").encode()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
