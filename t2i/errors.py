"""The one exception that a user is meant to read."""

from collections.abc import Iterable


class UserError(Exception):
    """Input that cannot be used, said in one sentence that names the thing, followed by the mend.

    The command line prints it without a traceback and exits with status 1; nothing is left half-written.
    """

    def __init__(self, problem: str, mend: str):
        super().__init__(f"{problem.rstrip('.')}. {mend}")
        self.problem, self.mend = problem, mend


def check_name(what: str, name: str, names: Iterable[str]) -> None:
    """:class:`UserError` with the ``names`` that exist, unless ``name`` is one of them; ``what`` is their kind."""
    if name not in names:
        raise UserError(f"There is no {what} called {name!r}", f"Choose one of: {', '.join(names)}.")
