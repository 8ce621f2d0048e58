"""What a user is meant to read: input that cannot be used, and what the place (a disk, a console) refuses."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


class UserError(Exception):
    """Input that cannot be used, said in one sentence that names the thing, followed by the mend.

    The command line prints it without a traceback and exits with status 1; nothing is left half-written.
    """

    def __init__(self, problem: str, mend: str):
        super().__init__(f"{problem.rstrip('.')}. {mend}")
        self.problem, self.mend = problem, mend

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: one line, with the mend as it is written in a notebook."""
        return [f"UserError: {self.problem.rstrip('.')}. {in_notebook(self.mend)}"]


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or a notebook's interrupt, with a sentence that says what is kept and how to go on."""

    def _render_traceback_(self) -> list[str]:
        return [str(self).replace("the same command goes on", "the same cell, run again, goes on")]


_ANEW = "RESUME = False in the parameters cell"
_PARAMETERS = {"no-resume": _ANEW, "seed": "SEED", "profile": "PROFILE", "dataset": "DATASET"}
_COMMAND = re.compile("(python -m t2i .*)")
_REPLACE = re.compile("python -m t2i train .* --no-resume")
_OPTION = re.compile("--([a-z][a-z0-9-]*)")


def in_notebook(mend: str) -> str:
    """``mend`` for whoever reads it in a notebook: the lesson's parameters, or the keyword of ``config.load``, where it
    has an option of the command line; a whole command stays one."""
    advice, *command = _COMMAND.split(_REPLACE.sub(_ANEW, mend), maxsplit=1)
    advice = _OPTION.sub(lambda found: _PARAMETERS.get(found[1], found[1].replace("-", "_")), advice)
    return advice + (f"in a terminal (File, New, Terminal), {command[0]}" if command else "")


def check_name(what: str, name: str, names: Iterable[str]) -> None:
    """:class:`UserError` with the ``names`` that exist, unless ``name`` is one of them; ``what`` is their kind."""
    if name not in names:
        raise UserError(f"There is no {what} called {name!r}", f"Choose one of: {', '.join(names)}.")


_ELSEWHERE = "or name another place (T2I_RUNS, T2I_DATA, or the option that named this one)."
_FULL = "its disk is full", f"Make room, {_ELSEWHERE}"
_DENIED = "this account has no permission to", f"Change its permissions, {_ELSEWHERE}"
_PLACE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("the quota of its disk is used up", f"Make room, {_ELSEWHERE}"),
    errno.EFBIG: ("its disk takes no file that large", f"Raise the limit (ulimit -f), {_ELSEWHERE}"),
    errno.EROFS: ("its disk is read-only", f"Mount it for writing, {_ELSEWHERE}"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOENT: ("there is no such file or folder", "Put it there, or name another."),
    errno.ENOTDIR: ("a part of its path is a file, where a folder is needed", f"Move that file away, {_ELSEWHERE}"),
    errno.EEXIST: ("a file is there, where a folder is needed", f"Move that file away, {_ELSEWHERE}"),
    errno.EISDIR: ("it is a folder", "Name a file."),
    errno.ENAMETOOLONG: ("its name is too long for the disk", "Give a shorter name."),
    errno.ELOOP: ("its links lead in a circle", "Mend the links, or name another place."),
    errno.EMFILE: ("this process has too many files open", "Raise the limit: ulimit -n 4096"),
    errno.ENFILE: ("this machine has too many files open", "Close other programs."),
    errno.EIO: ("its disk failed", f"Check the disk, {_ELSEWHERE}"),
    errno.ESTALE: ("its network disk has gone", f"Mount it again, {_ELSEWHERE}"),
    errno.EBUSY: ("another program holds it", "Close that program."),
    errno.ENOLCK: ("its disk has no locks", "Name a place on another disk."),
}
_WRITER = re.compile("PytorchStreamWriter|unexpected pos")  # torch.save where a disk takes no more
_NATIVE = re.compile(r"os error (\d+)")  # how safetensors, which is Rust, ends its sentences
_HOME = re.compile("determine home directory", re.IGNORECASE)


def refused(error: BaseException, path: Path | None = None) -> UserError | None:
    """What the place refused, as a sentence with ``path`` (or the path that ``error`` names) and its mend; None where
    ``error`` tells of something else."""
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return cause
        if (number := _number(cause)) in _PLACE:
            named = getattr(cause, "filename", None)
            return _sentence(number, path, named if isinstance(named, str | bytes | os.PathLike) else None)
        if isinstance(cause, RuntimeError) and _HOME.search(str(cause)):
            problem = f"{path or 'A path'} begins with ~, and this account has no home folder"
            return UserError(problem, "Set HOME, or write the whole path.")
    return None


def unforeseen(error: Exception) -> UserError | None:
    """:func:`refused`, and what else is of the machine and not of the program: its memory, its network, its compiler,
    its packages; None for everything that needs a traceback."""
    if found := refused(error):
        return found
    last = (str(error).strip().splitlines() or [type(error).__name__])[0]
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "torch.OutOfMemoryError" in kinds or "can't allocate memory" in str(error):
        return UserError(f"The memory is not enough ({last})", "Lower --batch-size or --count.")
    if any(kind.startswith(("torch._inductor.exc", "torch._dynamo.exc")) for kind in kinds):
        return UserError(f"torch.compile failed here ({last})", "Leave --compile out.")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("t2i"):
        return UserError(f"The package {error.name} is not installed", "In the checkout: pip install -e .")
    if isinstance(error, OSError):
        return UserError(f"{error.filename or 'This machine'}: {error.strerror or last}", "Try again, or elsewhere.")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and what it was raised from; writers that fail again while they close raise a RuntimeError."""
    while error is not None:
        yield error
        error = error.__cause__ or (error.__context__ if isinstance(error, RuntimeError) else None)


def _number(error: BaseException) -> int | None:
    """The errno that an error tells of, whichever library raised it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, RuntimeError) and _WRITER.search(str(error)):
        return errno.ENOSPC
    native = _NATIVE.search(str(error))
    return int(native[1]) if native and type(error).__module__.startswith("safetensors") else None


def _sentence(number: int, path: Path | None, named) -> UserError:
    """``path`` is what was to be written, ``named`` what an OSError names: it, a folder on the way, or a source."""
    reason, mend = _PLACE[number]
    named = named and Path(os.fsdecode(named))
    where = path or named or "The output"
    if reason.endswith("permission to"):
        reason = f"{reason} {'write' if path else 'read or write'} it"
    if named and path and path.name != named.name and not named.name.startswith("."):
        reason += f" ({named})"
    done = "cannot be written" if path else "cannot be used"
    return UserError(f"{where} {done}: {reason}", mend)
