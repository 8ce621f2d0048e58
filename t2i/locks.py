"""One writer at a time: a second one is refused, or waits. The system frees a lock when its process dies, however."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from t2i import paths
from t2i.errors import UserError

LOCK, WRITER = ".lock", ".writer"  # in a folder that is being written; WRITER says by whom


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Inside, this process alone writes into ``folder``, which is made where it is absent.

    Raises :class:`UserError` that names host and process where another one does. What a dead writer left, its name and
    its unfinished files, is removed, and so is a folder that nothing was written into.
    """
    with paths.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            problem = f"{folder} is being written by {_writer(folder)}"
            raise UserError(problem, "Wait until that has ended, or name another folder.") from None
        paths.sweep(folder)
        now = {"host": platform.node(), "process": os.getpid(), "since": datetime.now().isoformat(timespec="seconds")}
        paths.write_json(folder / WRITER, now)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; a disk may have become read-only
            (folder / WRITER).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty
            folder.rmdir()


def _writer(folder: Path) -> str:
    """Who holds the lock of ``folder``, as far as that is written there."""
    try:
        found = json.loads((folder / WRITER).read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['host']}, since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def turn(file: Path) -> Iterator[None]:
    """Inside, no other process of this machine has its turn at what ``file`` stands for; the others wait."""
    with paths.writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(file)
        held.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            file.unlink()
        held.release()
