"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Input that cannot be used, said in one sentence that names the thing, followed by the mend.

    The command line prints it without a traceback and exits with status 1; nothing is left half-written.
    """

    def __init__(self, problem: str, mend: str):
        super().__init__(f"{problem.rstrip('.')}. {mend}")
        self.problem, self.mend = problem, mend
