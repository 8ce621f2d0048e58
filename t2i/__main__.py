"""The command line: ``python -m t2i COMMAND``, the twin of every notebook."""

import os
import sys
from contextlib import suppress

import tyro

from t2i import commands
from t2i.errors import unforeseen


def main(arguments: list[str] | None = None) -> int:
    """Run a command (``arguments``, or those of the process) and return its exit status.

    What a user can mend, a :class:`UserError` or something that the machine refuses, becomes one line on stderr and
    status 1; Ctrl-C gives status 130, and a reader who has gone (``| head``) 141, in silence.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        _escape(stream)
    try:
        status = _run(arguments)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt as stop:
        return _end(130, str(stop) or "Stopped.")
    except BrokenPipeError:
        return _end(141)
    except Exception as error:
        if not (known := unforeseen(error)):
            raise
        return _end(1, f"error: {' '.join(str(known).splitlines())}")


def _run(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["train"]:
            commands.train_by(arguments[1:])
        else:
            commands.app.cli(args=arguments, prog="python -m t2i", config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as end:  # a usage error, --help, or a data set with problems
        return end.code or 0
    return 0


def _escape(stream) -> None:
    """Let a console that lacks a character show its number, where it would end the command."""
    if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _end(status: int, said: str = "") -> int:
    """``status``, once ``said`` is on stderr; an output that takes no more is let go, or Python would try it again."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, said and f"{said}\n")):
        try:
            if stream:
                stream.write(text)
                stream.flush()
        except (OSError, ValueError):  # full, or closed
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


if __name__ == "__main__":
    sys.exit(main())
