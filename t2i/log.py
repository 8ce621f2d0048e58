"""``stats.jsonl``: one line of numbers every few steps, readable by any notebook."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from t2i import paths
from t2i.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Log:
    """Appends averages to ``stats.jsonl``; lines later than ``step`` (of a run that was killed) are dropped first."""

    def __init__(self, path: Path, step: int):
        self.path = path
        kept = [line for line in _lines(path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        paths.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def write(self, **numbers: float) -> None:
        with paths.writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(numbers) + "\n")


def read(path: Path) -> "pd.DataFrame":
    """The log as a table with one row per line; :class:`UserError` where there is none."""
    import pandas as pd

    if not Path(path).is_file():
        raise UserError(f"{path} does not exist", "Train the run first.")
    return pd.DataFrame(_lines(path))


def _lines(path: Path) -> list[dict]:
    """The lines up to the first that a killed process left half-written or a disk has damaged."""
    lines = []
    text = Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else ""
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break
        if not isinstance(values, dict) or not isinstance(values.get("step"), int):
            break
        lines.append(values)
    return lines
