"""Tables to read and to hand on: what was measured here, what papers print, as Markdown, CSV or JSON.

A column never mixes what :data:`t2i.results.COLUMN` keeps apart; Markdown is no wider than a terminal, so that a wide
table comes in several parts, each with its rows.
"""

import csv
import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from t2i import paths, published, results
from t2i.errors import UserError, check_name
from t2i.metrics.metric import Column
from t2i.metrics.table import columns
from t2i.published import EMPTY, PUBLISHED_METHODS, Table
from t2i.results import to_markdown

WIDTH = 120
FORMATS = {"markdown": (".md", ".txt", ""), "csv": (".csv",), "json": (".json",)}
FEATURES = 2048  # of an Inception
SHUFFLED = " (shuffled)"
_ORDER = list(PUBLISHED_METHODS.values())


def board(dataset: str, profile: str | None = None, size: int | None = None, **roots) -> list[Table]:
    """All that was measured on a data set, of one profile and size (px) or of all: a table for each set of real
    pictures, preparation and size, with a row for each training and a column for each figure and protocol.

    A cell is the mean over the seeds of its row with their standard deviation, and in brackets what shuffled captions
    give; "" says not measured, and "–" measured without a number.
    """
    ours = results.labelled(results.chosen(results.collect(**roots), dataset, profile, size))
    found: dict[tuple, list[dict]] = {}
    for column, shuffled in _figures():
        for row in results.own_rows(ours, column):
            where = row["image_size"], row["preparation"], row["data"]
            found.setdefault(where, []).append(row | {"shuffled": shuffled})
    return [_board(dataset, rows) for _, rows in sorted(found.items(), key=lambda each: each[0])]


def _figures() -> Iterator[tuple[Column, bool]]:
    """Every figure of every metric, and after it the one with shuffled captions; whether it is that."""
    for column in columns().values():
        yield column, False
        if column.shuffled:
            yield replace(column, key=column.shuffled), True


def _board(dataset: str, rows: list[dict]) -> Table:
    heads = _heads(rows)
    cells: dict[tuple, dict[str, str]] = {}
    for row in sorted(rows, key=_place):
        cell, head = cells.setdefault((row["method"], row["run"]), {}), heads[_way(row)]
        text = row["text"].removesuffix(f" (n = {row['n']})") if f", {row['n']} seeds" in row["run"] else row["text"]
        mean = text.partition(" ± ")[0]
        cell[head] = f"{cell.get(head, EMPTY)} ({mean})" if row["shuffled"] else text
    frame = pd.DataFrame.from_dict(cells, orient="index", columns=list(heads.values())).fillna("")
    frame.index = pd.MultiIndex.from_tuples(cells, names=["method", "run"])
    said: dict[str, list[str]] = {}
    for way, head in heads.items():
        said.setdefault(_protocol(way), []).append(head.removesuffix(SHUFFLED))
    first = rows[0]
    title = f"{dataset}, {first['image_size']} px; real pictures: {results.real_pictures(pd.Series(first))}"
    notes = [f"{', '.join(named)}: {protocol}." for protocol, named in said.items()] + _few(heads)
    return Table(title, frame.reset_index("run"), notes, rows)


def _heads(rows: list[dict]) -> dict[tuple, str]:
    """The heading of each column; where several have the same figure, by protocols that differ, they are numbered."""
    ways = {way: [row["shuffled"] for row in rows if _way(row) == way] for way in dict.fromkeys(map(_way, rows))}
    heads: dict[tuple, str] = {}
    for way, shuffled in ways.items():
        alike = [other for other in ways if other[0] == way[0]]
        number = f" [{alike.index(way) + 1}]" if len(alike) > 1 else ""
        heads[way] = way[0] + number + (SHUFFLED if any(shuffled) else "")
    return heads


def _way(row: dict) -> tuple:
    """What a column is in a table whose real pictures are the same: figure, protocol and counts."""
    counts = (None if pd.isna(row[name]) else row[name] for name in ("generated_count", "real_count"))
    return row["metric"], row["protocol"], *counts


def _place(row: dict) -> tuple:
    """Methods stand in the order of the lessons."""
    return _ORDER.index(row["method"]) if row["method"] in _ORDER else len(_ORDER), row["method"]


def _protocol(way: tuple) -> str:
    counts = [f"{n:,.0f} {what}" for n, what in zip(way[2:], ("generated", "real"), strict=True) if n is not None]
    return f"{way[1]}{', ' if counts else ''}{' and '.join(counts)}{' pictures' if counts else ''}"


def _few(heads: dict[tuple, str]) -> list[str]:
    """What to say of a FID whose covariance cannot have full rank."""
    return [
        f"{head}: {int(min(counts)):,} pictures are too few for a covariance of {FEATURES:,} features: the FID is too"
        " large, and is to be compared with nothing outside its column."
        for (metric, protocol, *counts), head in heads.items()
        if metric == "FID" and "inception" in protocol and None not in counts and min(counts) <= FEATURES
    ]


def of_papers(dataset: str) -> list[Table]:
    """What all sources have published on a data set: FID, IS and R-precision, a column for each implementation."""
    found = []
    for metric in ("FID", "IS", "R-precision_%"):
        records = published.published(results.data_name(dataset), metric=metric)
        if len(records):
            heads = [results.published_column(row)[11:-1] for _, row in records.iterrows()]
            texts = [published.text(*row) for row in zip(records["value"], records["std"], strict=True)]
            cells: dict[str, dict] = {}
            for method, head, text in zip(records["method"].str.removesuffix(" (paper)"), heads, texts, strict=True):
                cell = cells.setdefault(method, {})
                cell[head] = " / ".join(dict.fromkeys(filter(None, (cell.get(head), text))))
            frame = pd.DataFrame.from_dict(cells, orient="index").fillna("").rename_axis("method")
            rows = records.astype(object).where(records.notna(), None).to_dict("records")
            title = f"{published.heading(metric)}, published on {records['dataset'].iloc[0]}"
            found.append(
                Table(title, frame, ["A column is one implementation or, where none is stated, one source."], rows)
            )
    return found


def markdown(tables: Sequence[Table], width: int = WIDTH) -> str:
    """Tables as Markdown that reads well as plain text: in parts no wider than ``width`` characters."""
    found, part = [], ""
    for table in tables:
        if table.part != part:
            part = table.part
            found.append(f"## {part}")
        found.append(f"### {table.title}")
        found += map(to_markdown, parts(table.frame, width))
        notes = (textwrap.fill(f"- {note}", width, subsequent_indent="  ") for note in table.notes)
        found += ["\n".join(notes)] if table.notes else []
    return "\n\n".join(found)


def parts(frame: pd.DataFrame, width: int = WIDTH) -> Iterator[pd.DataFrame]:
    """``frame`` in parts that are no wider than ``width`` as Markdown, each with the rows that have a cell in it. What
    has no row in common stands apart. Where the first column tells the rows apart, ``run`` stands in the first part."""
    names = [name for name in frame.columns if name != "run"]
    lead = [name for name in frame.columns if name == "run"]
    some: list[str] = []
    for name in names:
        apart = some and not ((frame[some] != "").any(axis=1) & (frame[name] != "")).any()
        if some and (apart or _width(frame[[*lead, *some, name]]) > width):
            yield _filled(frame, lead, some)
            some = []
            lead = [] if frame.index.is_unique else lead
        some.append(name)
    if some:
        yield _filled(frame, lead, some)


def _width(frame: pd.DataFrame) -> int:
    """How wide ``frame`` is as Markdown."""
    first = max(3, *(len(str(text)) for text in (*frame.index, frame.index.name)))
    return 4 + first + sum(3 + max(3, len(name), frame[name].str.len().max()) for name in frame)


def _filled(frame: pd.DataFrame, lead: list[str], names: list[str]) -> pd.DataFrame:
    return frame.loc[(frame[names] != "").any(axis=1), lead + names]


def rendered(tables: Sequence[Table], form: str = "markdown") -> str:
    """Tables as "markdown", as "csv" with one figure a line, or as "json": {"figures": [...], "notes": [...]}."""
    check_name("format", form, FORMATS)
    if form == "markdown":
        return markdown(tables)
    rows = [{"table": table.title, **row} for table in tables for row in map(_plain, table.rows)]
    if form == "json":
        notes = [{"table": table.title, "note": note} for table in tables for note in table.notes]
        return json.dumps({"figures": rows, "notes": notes}, indent=2, ensure_ascii=False)
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _joined(value) for name, value in row.items()} for row in rows)
    return file.getvalue().rstrip("\n")


def _plain(row: dict) -> dict:
    """A row as JSON has it: no number that is none, nothing that only a program's types can hold."""
    known = {name: value for name, value in row.items() if name not in ("column", "text")}
    known = {name: value.item() if hasattr(value, "item") else value for name, value in known.items()}
    known |= {name: int(n) for name in ("generated_count", "real_count") if (n := known.get(name)) and n == n}
    return {name: None if isinstance(value, float) and value != value else value for name, value in known.items()}


def _joined(value):
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def summary(
    dataset: str | None = None,
    profile: str | None = None,
    size: int | None = None,
    form: str = "markdown",
    papers: bool = False,
) -> str:
    """What ``python -m t2i table`` prints: our figures on a data set (default: aviary) with those that are published on
    it or, for ``papers``, the tables of the papers that the course reproduces; a sentence where there are none."""
    dataset = dataset or (None if papers else "aviary")
    found = published.tables(dataset) if papers else [*board(dataset, profile, size), *of_papers(dataset)]
    if not found and form == "markdown":
        return f"There are no {'published tables' if papers else 'results'} on {dataset} yet."
    return rendered(found, form)


def form_of(file: Path | None, form: str | None) -> str:
    """The format that is meant by the suffix of ``file`` or by its name; :class:`UserError` where they differ."""
    if file is None:
        return form or "markdown"
    meant = next((name for name, suffixes in FORMATS.items() if file.suffix.lower() in suffixes), None)
    if meant is None or (form and form != meant and file.suffix):
        wanted = FORMATS[form][0] if form else ".md, .csv or .json"
        raise UserError(f"{file} ends in {file.suffix}", f"Name a file that ends in {wanted}.")
    if file.is_dir():
        raise UserError(f"{file} is a folder", "Name a file.")
    return form or meant


def write(file: Path, text: str) -> None:
    """Write ``text`` to ``file``, whole or not at all."""
    paths.write_atomically(file, lambda temporary: temporary.write_text(f"{text}\n", encoding="utf-8"))
