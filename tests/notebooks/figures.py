"""Figures of runs on committed pages, in tables that cells have printed and in prose, held against the records."""

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd
from lint import FENCE, Notebook

from t2i import config as configs
from t2i import published, results
from t2i.metrics import records
from t2i.metrics.table import columns
from t2i.results import PUBLISHED_METHODS

LESSONS = {"02": "char-cnn-rnn", "03": "damsm", "04": "gan-cls", "06": "attngan", "07": "dm-gan", "09": "msmt-gan"}
TITLES = {column.title: column.key for column in columns().values()} | {  # and what lessons call the same
    "body color": "body_accuracy",
    "body color, shuffled": "body_accuracy_shuffled",
    "D picks the right caption": "matching_accuracy",
    "R-precision, shuffled": "r_precision_shuffled",
    "R-precision of real images": "r_precision",
    "recall@1 of captions, by sentence": "captions_recall_at_1",
    "recall@1 of captions, by words": "words_captions_recall_at_1",
    "zero-shot, unseen classes": "zero_shot_accuracy",
    "AP@50, unseen classes": "retrieval_ap50",
}
KEYS = set(TITLES.values())
PERCENT = {column.key for column in columns().values() if column.percent}
MARKS = re.compile(r"(.*?)( %)?(?: \[\d\])?(?: \(shuffled\))?")  # what a heading has besides its title
ORIGIN = re.compile(r"\b(released|recorded|this run)\b")
STEPS = re.compile(r"([\d,]+) steps")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DECIMAL = re.compile(r"(?<![\w.,])\d+\.\d+(?!\w|\.\d| points)")  # points are a difference
METRIC = re.compile(r"\b(FIDs?|IS|KID|R-precisions?|AP@50|recall|accurac(y|ies)|(body|belly|wing|crown|bill|pose) \d)")
LEFT_OUT = re.compile(r"<!-- status.*?end of status -->|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", re.DOTALL)


class Figure(NamedTuple):
    """A figure as printed; ``steps`` is None where its table does not say how long the run was."""

    where: str
    method: str
    origin: str
    key: str
    steps: int | None
    text: str
    percent: bool


class _Tables(HTMLParser):
    """The tables of a page as rows of (is a heading, text), with cells that span repeated."""

    def __init__(self, text: str):
        super().__init__()
        self.tables, self.cell, self.above = [], None, {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
            self.above = {}
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._repeat()
            spans = {name: int(value) for name, value in attrs if name in ("rowspan", "colspan")}
            self.cell = [tag == "th", "", spans]

    def handle_data(self, data):
        if self.cell:
            self.cell[1] += data.strip()

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            heading, text, spans = self.cell
            row, self.cell = self.tables[-1][-1], None
            for _ in range(spans.get("colspan", 1)):
                self.above[len(row)] = spans.get("rowspan", 1) - 1, (heading, text)
                row.append((heading, text))
        elif tag == "tr":
            self._repeat()

    def _repeat(self):
        """What reaches down from rows above to the next places of this one."""
        row = self.tables[-1][-1]
        while self.above.get(len(row), (0,))[0]:
            left, cell = self.above[len(row)]
            self.above[len(row)] = left - 1, cell
            row.append(cell)


def html_cells(text: str) -> Iterator[tuple[list[str], list[str], str]]:
    """(labels of the row, with the names of such labels, labels of the column, text) of every cell."""
    for table in _Tables(text).tables:
        heads = [row for row in table if all(heading for heading, _ in row)]
        for row in table[len(heads) :]:
            labels = [text for heading, text in row if heading]
            corner = [text for head in heads for _, text in head[: len(labels)]]
            for place, (heading, cell) in enumerate(row):
                if not heading:
                    yield [*corner, *labels], [head[place][1] for head in heads], cell


def markdown_cells(text: str) -> Iterator[tuple[list[str], list[str], str]]:
    """The same of tables whose first columns are "method" and "run", which the first of several parts has."""
    head, runs = [], {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")] if line.startswith("|") else []
        runs = {} if line.startswith("#") else runs
        if not head or not cells:
            head = cells
        elif head[0] == "method" and set(cells[0]) != {"-"}:
            named = dict(zip(head, cells, strict=True))
            method, run = named.pop("method"), named.pop("run", None)
            runs |= {method: run} if run else {}
            yield from (([method, runs.get(method, "")], [title], cell) for title, cell in named.items())


def shown(page: Path) -> Iterator[Figure]:
    """The figures in a notebook's outputs whose labels say the metric, and that it is of a run of ours."""
    for number, cell in enumerate(nbformat.read(page, as_version=4).cells):
        for output in cell.get("outputs", ()):
            for kind, read in (("text/html", html_cells), ("text/markdown", markdown_cells)):
                for row, column, text in read(output.get("data", {}).get(kind, "")):
                    if figure := _figure(f"{page.stem}, cell {number}", row, column, text):
                        yield figure


def repeated(page: Path) -> Iterator[str]:
    """The tables in a notebook's outputs of three rows or more that have the same decimals in every row: what was to
    be compared was measured once."""
    for number, cell in enumerate(nbformat.read(page, as_version=4).cells):
        for output in cell.get("outputs", ()):
            for table in _Tables(output.get("data", {}).get("text/html", "")).tables:
                bodies = [[text for heading, text in row if not heading] for row in table]
                rows = [tuple(body) for body in bodies if len(list(filter(DECIMAL.fullmatch, body))) > 1]
                if len(rows) > 2 and len(set(rows)) == 1:
                    yield f"{page.stem}, cell {number}: {len(rows)} rows of {', '.join(rows[0])}"


def _figure(where: str, row: list[str], column: list[str], text: str) -> Figure | None:
    labels = [[label for label in part if label] for part in (row, column)]
    for names, titles in (labels, labels[::-1]):
        title, mark = MARKS.fullmatch(titles[-1]).groups() if titles else ("", "")
        key, said = TITLES.get(title, title), " ".join([*names, *titles[:-1]])
        origin, steps = ORIGIN.search(said), STEPS.search(said)
        if key in KEYS and origin and "published" not in said and NUMBER.match(text):
            methods = [name.partition(", released")[0] for name in names]  # "GAN-CLS, released, 8,000 steps"
            model = next((m for name in methods for m in configs.MODELS if name in (m, PUBLISHED_METHODS.get(m))), None)
            model = model or LESSONS.get(where[:2])
            steps = int(steps.group(1).replace(",", "")) if steps else None
            text = text.partition(" (")[0]
            return Figure(where, PUBLISHED_METHODS.get(model, model), origin.group(), key, steps, text, bool(mark))
    return None


def agree(text: str, value: float, rounded: float = 0.0) -> bool:
    """Whether ``value``, rounded to the digits of ``text``, can be the number in it, if it was ``rounded`` itself."""
    return abs(float(text) - value) <= 1.000001 * (_half(text) + rounded)


def _half(text: str) -> float:
    """Half of the last digit's unit."""
    return 0.5 * 10 ** -len(text.partition(".")[2])


class Known:
    """The figures of all records by method, origin and key, as (steps, [mean, deviation over seeds], how far they may
    be rounded, where)."""

    def __init__(self):
        self.values: dict[tuple[str, str, str], list[tuple]] = {}
        found = results.labelled(results.collect())
        for _, rows in found[found["origin"] != "this run"].groupby([*results.ROW, *results.COLUMN], dropna=False):
            first = rows.iloc[0]
            method = PUBLISHED_METHODS.get(first["model"], first["model"])
            for key in sorted({name for names in rows["measured"] for name in names}):
                for _, judged in results.own_protocol(rows, key).groupby("protocol", dropna=False):  # never averaged
                    numbers = judged[key].astype(float)
                    numbers = [number for number in (numbers.mean(), numbers.std()) if number == number]
                    self._add((method, first["origin"], key), first["steps"], numbers, 0.0, "the records")

    def _add(self, of: tuple[str, str, str], *entry) -> None:
        self.values.setdefault(of, []).append(entry)

    def objection(self, figure: Figure) -> str | None:
        """What is wrong with a figure: no record has it, or another page has another value of this workspace's run."""
        numbers, of = NUMBER.findall(figure.text), (figure.method, figure.origin, figure.key)
        unit = 100 if figure.percent or (figure.key in PERCENT and float(numbers[0]) > 1) else 1
        known = [entry for entry in self.values.get(of, []) if figure.steps in (None, entry[0]) or entry[0] is None]
        for _, values, rounded, _ in known:
            pairs = zip(numbers, values, strict=False)
            if len(values) >= len(numbers) and all(agree(text, unit * value, unit * rounded) for text, value in pairs):
                return None
        what = f"{figure.where}: {', '.join(of)}: {figure.text}"
        if known:
            return f"{what}, but {unit * known[0][1][0]:g} in {known[0][-1]}"
        if figure.origin != "this run":
            return f"{what}, of which there is no record"
        self._add(of, figure.steps, [float(text) / unit for text in numbers], _half(numbers[0]) / unit, figure.where)
        return None

    def by_method(self) -> dict[str, list[float]]:
        """Every published or recorded number by the name of its model, shares in per cent too."""
        table, numbers = published.published(), {}
        for method, *printed in zip(table["method"], table["value"], table["std"], strict=True):
            numbers.setdefault(method.partition(" (")[0], []).extend(n for n in printed if not pd.isna(n))
        for (method, _, _), entries in self.values.items():
            found = [value for entry in entries for value in entry[1]]
            numbers.setdefault(method, []).extend([*found, *(100 * value for value in found)])
        return numbers


def conflicts(pages: Sequence[Path], known: Known) -> list[str]:
    """Every figure in outputs that differs from the records, or from another cell's of the same run."""
    figures = [figure for page in pages for figure in shown(page)]
    figures.sort(key=lambda figure: (figure.steps is None, -len(figure.text)))  # what says most is believed first
    return [said for figure in figures if (said := known.objection(figure))]


def sentences(page: Path) -> Iterator[str]:
    """The sentences and table rows of a page's prose, without code and formulas."""
    for text in Notebook(page).prose() if page.suffix == ".ipynb" else [page.read_text(encoding="utf-8")]:
        for part in re.split(r"\n\s*\n|\n(?=\s*[-|*\d])", LEFT_OUT.sub(" ", FENCE.sub("", text))):
            yield from re.split(r"(?<=[.!?;])\s+(?=[^a-z])", " ".join(part.split()))


def unfounded(page: Path, numbers: dict[str, list[float]]) -> Iterator[str]:
    """Every decimal beside a metric's name in prose that is no published or recorded number of the models that the
    sentence names, or of any where it names none; a released model's card has that model's only."""
    if page.with_name(records.NAME).exists():
        own = [value for value in records.read(page.with_name(records.NAME))["metrics"].values() if value is not None]
        numbers = {page.parent.name: [*own, *(100 * value for value in own)]}
    for sentence in filter(METRIC.search, sentences(page)):
        named = [name for name in numbers if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", sentence)]
        possible = [value for name in named or numbers for value in numbers[name]]
        for text in DECIMAL.findall(sentence):
            if not any(agree(text, value) for value in possible):
                yield f"{page.name}: {text} is no known figure of {' or '.join(named) or 'any model'}: {sentence}"
