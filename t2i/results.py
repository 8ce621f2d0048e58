"""Results: tables that set published, recorded and own figures side by side, from the records of evaluated runs.

A figure means nothing without its protocol. So a record carries everything that it depends on, tables are made from
records only, and :data:`COLUMN` and :data:`ROW` say what keeps two figures apart. Seeds are averaged where all of it is
equal, and nowhere else. Rows that look bad stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from t2i import paths
from t2i.config.settings import OWN
from t2i.data import DATASETS
from t2i.metrics.metric import Column
from t2i.metrics.records import FIELDS, read
from t2i.metrics.table import METRICS
from t2i.metrics.table import columns as metric_columns
from t2i.published import EMPTY, PUBLISHED_DATASETS, PUBLISHED_METHODS, facts, published, text

__all__ = ["EMPTY", "PUBLISHED_DATASETS", "PUBLISHED_METHODS", "facts", "published"]  # and what is defined here

# Figures in one column were measured against the same real pictures, prepared in the same way, at one size, and by one
# protocol, whose name has its judge and, of FID's, its extractor.
COLUMN = ("dataset", "data", "preparation", "image_size", "protocol", "generated_count", "real_count")
# A row is what one model became by the same training, whatever the seed; ``earlier`` counts newer records of the same.
ROW = ("model", "origin", "profile", "steps", "finished", "settings", "earlier")
_COLUMNS = [*ROW, *COLUMN, *(name for name in FIELDS if name not in (*ROW, *COLUMN, "metrics"))]
_COLUMNS += ["measured", "protocols", "extra", "path"]


def data_name(dataset: str) -> str:
    """What records call a data set: its name, the papers' or the course's, or, of the path of a prepared folder, the
    folder's name with its mark."""
    if dataset in DATASETS or dataset in PUBLISHED_DATASETS.values() or dataset.startswith(OWN):
        return dataset
    return f"{OWN}{Path(dataset).resolve().name}"


def implausible(record: dict) -> list[str]:
    """What cannot be right about a record's FID and IS, in sentences; empty where nothing is.

    Catches the headings that a published table has swapped: by an Inception, the IS of birds and flowers stays below
    10 and their FID well above 5.
    """
    metrics, dataset = record["metrics"], record["dataset"]
    fid, inception_score = metrics.get("fid"), metrics.get("is_mean")
    narrow = dataset in ("aviary", "aviary-200", "cub", "flowers")
    inception = "inception" in record["protocol"]
    found = []
    if inception_score is not None and inception_score < 0.999:
        found.append(
            f"An IS of {inception_score:.2f} is impossible: it is the exponential of a divergence, at least 1."
        )
    if inception_score is not None and inception_score >= 10 and narrow:
        found.append(
            f"An IS of {inception_score:.2f} on {dataset} is not below 10: is it a FID under the wrong heading?"
        )
    if fid is not None and fid < -0.01:
        found.append(f"A FID of {fid:.2f} is impossible: it is a squared distance.")
    elif fid is not None and fid < 5 and narrow and inception:
        found.append(f"A FID of {fid:.2f} on {dataset} is below 5: is it an IS under the wrong heading?")
    return found


def collect(runs_root: Path | str | None = None, recorded_root: Path | str | None = None) -> pd.DataFrame:
    """The ``result*.json`` of every run, of every folder of ``data/results`` ("recorded") and of every model that comes
    with the course ("released"), one row each; what lies deeper, such as ablations, is left out.

    ``origin`` is "this run" for what was trained here, and "imported" for weights of another project. Further columns:
    those of :data:`ROW` and :data:`COLUMN`, the record's fields, the names of what it measured, its path, and its
    metrics. No record is left out: of several of one run under one protocol the newest has 0 ``earlier``.
    """
    roots = {"released": paths.released()} if recorded_root is None else {}
    roots |= {"recorded": recorded_root or paths.recorded_results(), "this run": runs_root or paths.runs_root()}
    rows = []
    for origin, root in roots.items():
        for path in sorted(Path(root).glob("*/result*.json")):
            found = read(path)
            fields = {name: found[name] for name in _COLUMNS if name in found}
            own = {"origin": "imported" if found["origin"] == "imported" else origin}
            own |= {"measured": tuple(found["metrics"]), "path": str(path)}
            rows.append({**found["metrics"], **fields, **own})
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])))
    table = table.astype({"finished": object, "steps": object}).sort_values("date", ascending=False, kind="stable")
    same = [*(name for name in (*ROW, *COLUMN) if name != "earlier"), "seed"]
    return table.assign(earlier=table.groupby(same, dropna=False).cumcount()).sort_index(ignore_index=True)


def figures(
    dataset: str,
    metric: str = "FID",
    *,
    key: str | None = None,
    profile: str | None = None,
    size: int | None = None,
    runs_root: Path | str | None = None,
    recorded_root: Path | str | None = None,
) -> pd.DataFrame:
    """The figures behind :func:`comparison`, one row each: method, run, column, value, std, n, text.

    ``dataset`` is a name or the path of a prepared folder; ``metric`` is a name from ``data/published.json`` and
    ``key`` its name in our records, where that is another and no column of a metric is called ``metric``; ``profile``
    and ``size`` (px) keep some of our runs. A published ± is the paper's own; ours is over the ``n`` seeds, and absent
    for one. What is a share in records is a percentage here. Runs that were not measured so have no row.
    """
    known = {column.key: column for column in metric_columns().values()}
    known |= {column.shuffled: replace(column, key=column.shuffled) for column in known.values() if column.shuffled}
    titled = metric_columns().get(metric)
    key = key or (titled.key if titled else metric)
    figure = known.get(key, Column(key, metric))
    printed = metric if titled is None else figure.published or metric
    rows = [
        *_published_rows(data_name(dataset), printed),
        *own_rows(labelled(chosen(collect(runs_root, recorded_root), dataset, profile, size)), figure),
    ]
    names = ["method", "run", "column", "value", "std", "n", "text"]
    return pd.DataFrame([{name: row[name] for name in names} for row in rows], columns=names)


def chosen(table: pd.DataFrame, dataset: str, profile: str | None = None, size: int | None = None) -> pd.DataFrame:
    """The rows of one data set, a name or the path of a prepared folder, of one profile and size or of all."""
    right = table["dataset"] == data_name(dataset)
    right &= table["profile"].isin([profile]) | (profile is None)
    return table[right & (table["image_size"].isin([size]) | (size is None))]


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with ``method``, the papers' name or ours, and ``run``, which says what a row of :data:`ROW` is:
    "recorded, 16 px, 2,800 steps, 3 seeds". Rows that differ in anything have different labels."""
    table = table.assign(method=table["model"].map(lambda model: PUBLISHED_METHODS.get(model, model)), run="")
    for _, rows in table.groupby([*ROW, *COLUMN[:4]], dropna=False, sort=False):
        seeds = rows["seed"].nunique()
        table.loc[rows.index, "run"] = f"{_label(rows.iloc[0])}, {seeds} seed{'s' if seeds > 1 else ''}"
    for name in ("profile", "settings", "finished"):
        for _, rows in table.groupby(["method", "run", *COLUMN[:4]], dropna=False, sort=False):
            if rows[name].nunique(dropna=False) > 1:
                table.loc[rows.index, "run"] += ", " + name + " " + rows[name].fillna("not known").astype(str)
    return table


def _label(row: pd.Series) -> str:
    """What is known of a training, for a reader."""
    steps = "steps not known" if pd.isna(row["steps"]) else f"{row['steps']:,.0f} steps"
    parts = [row["origin"], f"{row['image_size']} px"]
    parts += [] if row["origin"] == "imported" else [steps + (" (unfinished)" if row["finished"] is False else "")]
    return ", ".join(parts + ([f"measured before, {row['date'][:10]}"] if row["earlier"] else []))


def own_protocol(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows of ``table`` that have the figure ``key``, with the protocol of the metric that measured it, where that
    is not the one by which pictures are compared with real ones; their counts are then not that metric's.

    The protocols of older records do not name their judge, which is said.
    """
    table = table[table["measured"].map(lambda names: key in names).astype(bool)]
    owners = [metric for metric in METRICS.values() if key in [k for c in metric.columns for k in (c.key, c.shuffled)]]
    if not owners or "fidelity" in [metric.name for metric in owners]:
        return table
    made = []
    for own, other in zip(table["protocols"], table["protocol"], strict=True):
        owner = next((metric for metric in owners if metric.name in own), owners[0])
        name = own.get(owner.name, other)
        made.append(f"{name}, judge not known" if owner.judge and f"-{owner.judge}-" not in name else name)
    beside = table["protocol"]
    table = table.assign(protocol=made, generated_count=float("nan"), real_count=float("nan"))
    again = table.sort_values("date", ascending=False).groupby([*ROW, *COLUMN, "seed"], dropna=False).cumcount()
    again = again.reindex(table.index)
    runs = table["run"].mask(again > 0, table["run"] + ", beside " + beside)
    return table.assign(earlier=table["earlier"] + again, run=runs)


def own_rows(table: pd.DataFrame, figure: Column) -> Iterator[dict]:
    """One row per :data:`ROW` and :data:`COLUMN` of a :func:`labelled` table that has the figure: mean and standard
    deviation over the seeds, as text too, in the unit of tables."""
    table = own_protocol(table, figure.key)
    if table.empty:
        return
    scale = 100 if figure.percent else 1
    for _, rows in table.groupby([*ROW, *COLUMN, "run"], dropna=False, sort=False):
        values = rows[figure.key].astype(float) * scale
        first, n = rows.iloc[0], int(values.count())
        seeds = f" (n = {n})" if n > 1 else ""
        yield {name: first[name] for name in ("method", "run", *ROW, *COLUMN)} | {
            "column": _own_column(first),
            "metric": figure.heading,
            "value": values.mean(),
            "std": values.std(),
            "n": n,
            "seeds": sorted(rows["seed"]),
            "text": text(values.mean(), values.std(), figure.digits) + seeds,
        }


def _published_rows(dataset: str, metric: str) -> Iterator[dict]:
    for _, found in published(dataset, metric=metric).iterrows():
        method, value, std = found["method"].removesuffix(" (paper)"), found["value"], found["std"]
        row = {"method": method, "run": "published", "column": published_column(found), "n": None}
        yield row | {"value": value, "std": std, "text": text(value, std)}


def published_column(found: pd.Series) -> str:
    """One column per implementation; without one, figures are only comparable within their source."""
    if found["metric"] != "FID":
        return f"published ({found['source']})"
    if found["fid_impl"] == "not_stated":
        return f"published (implementation not stated; {found['source']})"
    return f"published ({facts()['fid_implementations'][found['fid_impl']]['short']})"


def _own_column(row: pd.Series) -> str:
    """What makes a column, for a reader: everything of :data:`COLUMN` but the data set's name."""
    counts = [(row["generated_count"], "generated"), (row["real_count"], "real")]
    parts = [f"{row['image_size']} px", *(f"{n:,.0f} {what}" for n, what in counts if not pd.isna(n))]
    return f"{row['protocol']} ({', '.join(parts)}; {real_pictures(row)})"


def real_pictures(row: pd.Series) -> str:
    """Which real pictures a record is about, and how they were prepared."""
    data = f"data {row['data']}" if row["data"] else "data not known"
    return f"{row['preparation'] or 'preparation not known'}; {data}"


def comparison(dataset: str, metric: str = "FID", **options) -> pd.DataFrame:
    """Published · recorded · this run: a row per method and run, a column per way of measuring; options as in
    :func:`figures`.

    Cells are text; the column ``run`` says what our rows are. Where a column holds several published figures of one
    method, the cell shows them all.
    """
    rows = figures(dataset, metric, **options)
    table = rows.pivot_table(index=["method", "run"], columns="column", values="text", aggfunc=_joined, sort=False)
    keys = pd.MultiIndex.from_frame(rows[["method", "run"]].drop_duplicates())
    table = table.reindex(index=keys, columns=rows["column"].unique()).fillna(EMPTY)
    return table.loc[:, (table != EMPTY).any()].rename_axis(columns=None).reset_index("run")


def _joined(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(text for text in texts if text != EMPTY)) or EMPTY


def conditioning(dataset: str, profile: str | None = None, size: int | None = None, **roots) -> pd.DataFrame:
    """Does the caption matter? A row per evaluated run: what its captions achieve, and what is left when shuffled, in
    per cent. A run that was evaluated twice has two names."""
    asked = [column for column in metric_columns().values() if column.shuffled]
    heads = {key: title for column in asked for key, title in column.both()}
    ours = chosen(collect(**roots), dataset, profile, size)
    ours = ours[ours.reindex(columns=[column.shuffled for column in asked]).notna().any(axis=1)]
    names = ours["model"] + " s" + ours["seed"].astype(str) + " (" + ours["origin"] + ", " + ours["profile"]
    for name in ("image_size", "steps", "protocol", "settings", "data", "preparation", "earlier"):
        for _, rows in ours.groupby(names, sort=False):
            if rows[name].nunique(dropna=False) > 1:
                label = ", " if name == "protocol" else f", {name} "
                names[rows.index] += label + rows[name].astype(str)
    table = ours.reindex(columns=list(heads))
    for column in asked:
        for key in (column.key, column.shuffled):
            scaled = pd.to_numeric(table[key]) * (100 if column.percent else 1)
            table[key] = scaled.map(lambda value, digits=column.digits: text(value, None, digits))
    return table.rename(columns=heads).set_axis((names + ")").rename("model"))


def to_markdown(table: pd.DataFrame) -> str:
    """``table`` with its index as a Markdown table, padded so that it reads well as plain text too."""
    head = [table.index.name or "", *table.columns]
    rows = [head, *([index, *row] for index, row in zip(table.index, table.to_numpy(), strict=True))]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells)
