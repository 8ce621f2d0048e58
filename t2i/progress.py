"""Progress as text: a line that moves while something goes on, and a plain sentence afterwards.

tqdm's own bars in notebooks are widgets, in whose place a saved notebook shows an error. Here the line is an ordinary
output that is replaced where it stands. In a terminal it is tqdm's.
"""

import os
import sys

from tqdm import tqdm as terminal

SIGNS = 20  # of the bar
EVERY = 0.5  # seconds between two states of a line in a notebook
NUMBERS = 2  # of what a bar is told besides, which fit into a line


class tqdm(terminal):  # the name by which everybody knows it
    """:class:`tqdm.tqdm` with its arguments; in a notebook, text. ``TQDM_DISABLE`` silences both."""

    def __init__(self, *arguments, **options):
        self.cell, self.in_notebook = None, _in_notebook()
        if not self.in_notebook:
            super().__init__(*arguments, **options)
            return
        silent = bool(options.pop("disable", False)) or bool(os.environ.get("TQDM_DISABLE"))
        options = {"mininterval": EVERY, "file": sys.stdout} | options
        super().__init__(*arguments, **options, disable=silent, gui=True)  # gui: nothing is written to the file
        if not silent:
            from IPython.display import display  # here, because a training needs no Jupyter

            self.cell = display(_plain(str(self)), raw=True, display_id=True)

    def __str__(self) -> str:
        return self._line() if self.in_notebook else super().__str__()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state as it is, or ``msg``."""
        if not self.in_notebook:
            super().display(msg, pos)
        elif self.cell is not None:
            self.cell.update(_plain(str(self) if msg is None else msg), raw=True)

    def clear(self, nolock: bool = False) -> None:
        """Make room for a line that is printed; in a notebook there is room."""
        if not self.in_notebook:
            super().clear(nolock)

    def close(self) -> None:
        """End; in a notebook the sentence that stays says how far it came, and in what time."""
        if self.cell is not None and not self.disable:
            self.display(f"{self._so_far()}, {self.format_interval(self.format_dict['elapsed'])}")
        super().close()

    def _so_far(self) -> str:
        count, total = (self._number(value) if value is not None else None for value in (self.n, self.total))
        of = f" of {total}" if total is not None else ""
        return f"{self.desc.removesuffix(': ') or 'progress'}: {'' if self.unit == 'B' else self.unit + ' '}{count}{of}"

    def _number(self, value: float) -> str:
        return f"{self.format_sizeof(value)}B" if self.unit_scale else f"{value:,}"

    def _line(self) -> str:
        state, line = self.format_dict, self._so_far()
        if self.total:
            share = min(1.0, self.n / self.total)
            bar = "█" * round(share * SIGNS)
            line = f"{line}  {bar:░<{SIGNS}} {share:4.0%}"
            rate = state["rate"] or (self.n - self.initial) / max(state["elapsed"], 1e-9)
            if rate and 0 < share < 1:
                line += f", {self.format_interval((self.total - self.n) / rate)} to go"
        told = (self.postfix or "").split(", ")[:NUMBERS]
        return "  ".join([line, *told]).rstrip()


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel; a kernel has loaded IPython, so that nobody else need."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}
