"""The leaderboard: every table that ``t2i.results`` makes of the published figures and of the recorded runs."""

import tempfile
from html import escape

import pandas as pd

from t2i import results
from t2i.data import DATASETS
from t2i.metrics.table import columns

PAPERS = ("FID", "IS", "R-precision_%")  # the figures that papers report, by their names in data/published.json


def leaderboard() -> str:
    """Markdown: a section for each data set, with a sortable table for each figure and one of shuffled captions."""
    with tempfile.TemporaryDirectory() as nothing:  # the runs of whoever builds the site stay out of it
        roots = {"runs_root": nothing}
        names = dict.fromkeys([*PAPERS, *(column.title for column in columns().values() if not column.shuffled)])
        sections = []
        for dataset in DATASETS:
            tables = {name: results.comparison(dataset, name, **roots) for name in names}
            tables["Does the caption matter?"] = results.conditioning(dataset, **roots)
            found = [
                f"### {name}\n{_html(table, f'{dataset}: {name}')}" for name, table in tables.items() if not table.empty
            ]
            if found:
                sections.append(f"## {results.PUBLISHED_DATASETS.get(dataset, dataset)}\n\n" + "\n\n".join(found))
    return "\n\n".join(sections) + "\n"


def _html(table: pd.DataFrame, name: str) -> str:
    head = [table.index.name or "method", *table.columns]
    heads = "".join(f'<th scope="col"><button type="button">{_breakable(title)}</button></th>' for title in head)
    rows = []
    for method, cells in zip(table.index, table.to_numpy(), strict=True):
        figures = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(str(method))}</th>{figures}</tr>')
    body = "\n".join(rows)
    return (
        f'\n<div class="scroll"><table class="sortable" aria-label="{escape(name, quote=True)}">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _breakable(title: str) -> str:
    return escape(title).replace("_", "_<wbr>")
