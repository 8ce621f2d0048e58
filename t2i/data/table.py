"""A user's table of captions, read strictly: what does not fit its shape is named with its line, never dropped."""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from t2i.errors import UserError

COLUMNS = ("file", "caption", "class", "split")
NEEDED = COLUMNS[:2]
_QUOTE = "Put a caption that holds a comma into double quotes; each row has one value for every column."
_SWALLOWED = re.compile(r"[\r\n][^,\r\n]*\.\w{2,5} *,")  # a row of the table inside a value


class Table(NamedTuple):
    """``rows`` are dicts of stripped values with all of ``COLUMNS`` ("" for what the table has not), and of its
    ``further`` columns, in their order."""

    rows: list[dict[str, str]]
    further: list[str]


def read(path: Path) -> Table:
    """The table at ``path``: comma-separated UTF-8, with or without a byte order mark, its columns named in the first
    row.

    Raises :class:`UserError` that names the line where the bytes are no UTF-8, where a row has more or fewer values
    than there are columns, where a quotation mark is left open, and where a caption seems to go on in the next column.
    """
    text = _text(path)
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    records, first = [], 1
    try:
        for values in reader:
            if values:
                records.append((first, values, "".join(lines[first - 1 : reader.line_num])))
            first = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file (line {reader.line_num}: {error})", _QUOTE) from None
    columns = _columns(path, records[0][1] if records else [])
    for line, values, raw in records[1:]:
        _check(f"{path}, line {line}", columns, values, raw, spaced=", " in records[0][2])
    named = [name for name in columns if name]
    rows = [dict(zip(columns, map(str.strip, values), strict=True)) for _, values, _ in records[1:]]
    rows = [{name: row.get(name, "") for name in dict.fromkeys((*COLUMNS, *named))} for row in rows]
    return Table(rows, [name for name in named if name not in COLUMNS])


def write(path: Path, table: Table) -> None:
    """Write ``table`` as :func:`read` reads it."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *table.further], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)


def _text(path: Path) -> str:
    """The characters of the file at ``path``."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "Name a CSV file with --captions.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        wrong = f"{path} is not UTF-8 (line {line}: {error.reason} at byte {error.start})"
        raise UserError(wrong, "Save it as UTF-8.") from None
    for mark, what in (("\0", "a null byte, as in UTF-16"), ("\ufffd", "U+FFFD, which stands for a lost character")):
        if mark in text:
            line = text[: text.index(mark)].count("\n") + 1
            raise UserError(f"{path} is not UTF-8 (line {line} holds {what})", "Save it as UTF-8.")
    return text


def _columns(path: Path, header: list[str]) -> list[str]:
    """The names of the columns; "" for one that has none."""
    found = [name.strip().strip("\ufeff\u200b").strip() for name in header]
    missing = [name for name in NEEDED if name not in found]
    if missing:
        problem = f"{path} has no column {' or '.join(missing)} (found: {', '.join(found) or 'none'})"
        mend = f"Its first row must name the columns {' and '.join(NEEDED)}, separated by a comma."
        raise UserError(problem, mend)
    if twice := {name for name in found if name and found.count(name) > 1}:
        problem = f"{path}, line 1 names the column {' and '.join(sorted(twice))} more than once"
        raise UserError(problem, "Give every column a name of its own.")
    return found


def _check(where: str, columns: list[str], values: list[str], raw: str, spaced: bool) -> None:
    """:class:`UserError` where the ``values`` of a row, which stand in the table as ``raw``, do not fit ``columns``, or
    fit them only by accident. ``spaced``: the table writes a blank behind its commas."""
    if len(values) != len(columns):
        raise UserError(f"{where} has {len(values)} values, and there are {len(columns)} columns", _QUOTE)
    if any(value.strip() and not name for name, value in list(zip(columns, values, strict=True))[1:]):
        raise UserError(f"{where} has a value in a column without a name", _QUOTE)  # the first one numbers the rows
    place = columns.index("caption")
    caption = values[place]
    if any(_SWALLOWED.search(value) for value in values):
        raise UserError(f"{where}: a quotation mark is left open, and the rows that follow are taken in", _QUOTE)
    tail = values[place + 1].strip() if place + 1 < len(values) else ""
    before = raw.find(caption)
    quoted = raw[:before].endswith('"') or '"' in caption
    if tail and not spaced and not quoted and not raw[:before].endswith(" "):
        behind = raw[before + len(caption) :]
        if re.match(r",[ \t]+\S", behind):
            problem = (
                f"{where}: the caption seems to go on behind its comma, in the column {columns[place + 1]} ({tail})"
            )
            raise UserError(problem, f"{_QUOTE} If it ends there, write no blank behind the comma.")
