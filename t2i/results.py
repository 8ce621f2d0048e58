"""Results: tables that set published, recorded and own figures side by side, from the records of evaluated runs.

A figure means nothing without its protocol. So a record carries protocol, counts, seed, hardware and commit, tables are
made from records only, and a table has one column per protocol: two figures that were made differently cannot meet in
one. Rows that look bad stay.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from t2i import paths
from t2i.config.settings import OWN
from t2i.data import DATASETS
from t2i.errors import UserError
from t2i.metrics.metric import Column
from t2i.metrics.records import FIELDS, read
from t2i.metrics.table import METRICS
from t2i.metrics.table import columns as metric_columns

EMPTY = "–"
PUBLISHED = ("fid", "is_mean", "kid_mean")  # of our figures, those whose tables papers fill too; FID's comes first
_COLUMNS = ["origin", *(name for name in FIELDS if name != "metrics"), "measured", "protocols", "data", "path"]

PUBLISHED_DATASETS = {name: entry.published for name, entry in DATASETS.items() if entry.published}
# "damsm" is not among them: no source has a figure of DAMSM itself, which judges the others there. (TISE's R-precision
# of real images is CLIP's.)
PUBLISHED_METHODS = {
    "char-cnn-rnn": "Char-CNN-RNN DS-SJE",
    "gan-cls": "GAN-CLS",
    "gan-cls-int": "GAN-INT-CLS",
    "stackgan-cnn": "StackGAN Stage-I CNN (64px)",
    "stackgan-res": "StackGAN Stage-I ResBlock (64px)",
    "stackgan-se": "StackGAN Stage-I SE block (64px)",
    "stackgan-stage2": "Stage 2 (ResBlock, 256px)",
    "attngan": "AttnGAN",
    "dm-gan": "DM-GAN",
    "attndm-gan": "AttnDM-GAN",
    "dmattn-gan": "DMAttn-GAN",
    "mtwig-dm-gan": "MTWIG w/ DM-GAN refinement",
    "mtwig-sdm-gan": "MTWIG w/ SDM refinement",
    "msmt-gan": "MSMT-GAN",
    "ig": "IG (initial generation, 64px single stage)",
    "mtwig-ks1": "MTWIG ks=1",
    "mtwig-ks2": "MTWIG ks=2",
    "mtwig-ks3": "MTWIG ks=3",
}


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


@functools.cache
def facts() -> dict:
    """All of ``data/published.json``: records, sources, inconsistencies, hyperparameters, parameter counts, speeds."""
    path = paths.course_data() / "published.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mend = "Restore it: git checkout -- data/published.json"
        raise UserError(f"{path} cannot be read ({error})", mend) from error


def published(dataset: str | None = None, method: str | None = None, metric: str | None = None) -> pd.DataFrame:
    """The published figures, one row each; names of data sets and models may be the papers' or the course's."""
    table = pd.DataFrame(facts()["records"])
    wanted = {
        "dataset": PUBLISHED_DATASETS.get(dataset, dataset),
        "method": PUBLISHED_METHODS.get(method, method),
        "metric": metric,
    }
    for name, value in wanted.items():
        if value is not None:
            table = table[table[name] == value]
    return table.reset_index(drop=True)


def collect(runs_root: Path | str | None = None, recorded_root: Path | str | None = None) -> pd.DataFrame:
    """The ``result*.json`` of every run ("this run"), of every folder of ``data/results`` ("recorded") and of every
    model that comes with the course ("released"), one row each; what lies deeper, such as ablations, is left out.

    Columns: origin, the record's fields, the names of what it measured, its path, and its metrics. Of several
    evaluations of one run under one protocol the newest counts.
    """
    roots = {"released": paths.released()} if recorded_root is None else {}
    roots |= {"recorded": recorded_root or paths.recorded_results(), "this run": runs_root or paths.runs_root()}
    rows = []
    for origin, root in roots.items():
        for path in sorted(Path(root).glob("*/result*.json")):
            found = read(path)
            fields = {name: found[name] for name in _COLUMNS if name in found}
            own = {"origin": origin, "measured": tuple(found["metrics"]), "path": str(path)}
            own["protocols"] = found.get("protocols", {})
            own["data"] = found.get("data", "") if str(found["dataset"]).startswith(OWN) else ""
            rows.append({**found["metrics"], **fields, **own})
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])))
    same = ["origin", "model", "dataset", "data", "profile", "seed", "image_size", "protocol"]
    return table.sort_values("date", kind="stable").drop_duplicates(same, keep="last").sort_index(ignore_index=True)


def figures(
    dataset: str,
    metric: str = "FID",
    *,
    key: str | None = None,
    profile: str | None = None,
    runs_root: Path | str | None = None,
    recorded_root: Path | str | None = None,
) -> pd.DataFrame:
    """The figures behind :func:`comparison`, one row each: method, column, value, std, n, text.

    ``dataset`` is a name or the path of a prepared folder; ``metric`` is a name from ``data/published.json`` and
    ``key`` its name in our records, where that is another and no column of a metric is called ``metric``; ``profile``
    keeps one profile. A published ± is the paper's own; ours is over the ``n`` seeds, and absent for one. Runs that
    were not measured so have no row.
    """
    known = {column.key: column for column in metric_columns().values()}
    titled = metric_columns().get(metric)
    key = key or (titled.key if titled else metric)
    ours = _of(collect(runs_root, recorded_root), dataset, profile)
    ours = _by_own_protocol(ours[ours["measured"].map(lambda names: key in names).astype(bool)], key)
    rows = [
        *_published_rows(data_name(dataset), metric),
        *_own_rows(ours, known.get(key, Column(key, metric))),
    ]
    return pd.DataFrame(rows, columns=["method", "column", "value", "std", "n", "text"])


def _by_own_protocol(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows with the protocol of the metric that measured ``key``, where that is not the one by which pictures are
    compared with real ones; their counts are then not that metric's."""
    owners = [name for name, metric in METRICS.items() if key in [column.key for column in metric.columns]]
    if not owners or "fidelity" in owners:
        return table
    protocols = [
        next((own[name] for name in owners if name in own), other)
        for own, other in zip(table["protocols"], table["protocol"], strict=True)
    ]
    return table.assign(protocol=protocols, generated_count=float("nan"), real_count=float("nan"))


def _of(table: pd.DataFrame, dataset: str, profile: str | None) -> pd.DataFrame:
    """The rows of one data set, a name or the path of a prepared folder, and of one profile or of all."""
    right = table["dataset"] == data_name(dataset)
    return table[right & (table["profile"].isin([profile]) | (profile is None))]


def _published_rows(dataset: str, metric: str) -> Iterator[tuple]:
    for _, found in published(dataset, metric=metric).iterrows():
        method, value, std = found["method"].removesuffix(" (paper)"), found["value"], found["std"]
        yield method, _published_column(found), value, std, None, _text(value, std, "{:.10g}")


def _own_rows(table: pd.DataFrame, figure: Column) -> Iterator[tuple]:
    """One row per model and column: mean and standard deviation over the seeds."""
    shape, key = f"{{:.{figure.digits}f}}", figure.key
    if table.empty:
        return
    by = ["origin", "protocol", "profile", "image_size", "generated_count", "real_count", "data", "model"]
    for (*made, model), values in table.astype({key: float}).groupby(by, dropna=False, sort=False)[key]:
        mean, std, n = values.mean(), values.std(), values.count()
        text = _text(mean, std, shape) + (f" (n = {n})" if n > 1 else "")
        yield PUBLISHED_METHODS.get(model, model), _own_column(*made), mean, std, n, text


def _published_column(found: pd.Series) -> str:
    """One column per implementation; without one, figures are only comparable within their source."""
    if found["metric"] != "FID":
        return f"published ({found['source']})"
    if found["fid_impl"] == "not_stated":
        return f"published (implementation not stated; {found['source']})"
    return f"published ({found['fid_impl']})"


def _own_column(origin, protocol, profile, image_size, generated, real, data) -> str:
    """The size of the images and the number of real ones change a FID as the protocol's name does, and two folders of
    one name may hold different pictures."""
    data = f", data {data}" if data else ""
    counts = [f", {n:.0f} {what}" for n, what in ((generated, "generated"), (real, "real")) if not pd.isna(n)]
    return f"{origin} {protocol} ({profile}, {image_size} px{''.join(counts)}{data})"


def _text(value: float | None, std: float | None, shape: str) -> str:
    if pd.isna(value):
        return EMPTY
    return shape.format(value) + ("" if pd.isna(std) else " ± " + shape.format(std))


def comparison(dataset: str, metric: str = "FID", **options) -> pd.DataFrame:
    """Published · recorded · this run: a row per method, a column per protocol; options as in :func:`figures`.

    Cells are text. Where a column holds several published figures of one method, the cell shows them all.
    """
    rows = figures(dataset, metric, **options)
    table = rows.pivot_table(index="method", columns="column", values="text", aggfunc=_joined, sort=False)
    table = table.reindex(index=rows["method"].unique(), columns=rows["column"].unique()).fillna(EMPTY)
    return table.loc[:, (table != EMPTY).any()].rename_axis(columns=None)


def _joined(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(text for text in texts if text != EMPTY)) or EMPTY


def conditioning(dataset: str, profile: str | None = None, **roots) -> pd.DataFrame:
    """Does the caption matter? A row per evaluated run: what its captions achieve, and what is left when shuffled."""
    asked = [column for column in metric_columns().values() if column.shuffled]
    heads = {key: title for column in asked for key, title in column.both()}
    ours = _of(collect(**roots), dataset, profile)
    ours = ours[ours.reindex(columns=[column.shuffled for column in asked]).notna().any(axis=1)]
    names = ours["model"] + " s" + ours["seed"].astype(str) + " (" + ours["origin"] + ", " + ours["profile"] + ")"
    table = ours.reindex(columns=list(heads)).rename(columns=heads).set_axis(names.rename("model"))
    return table.map(lambda value: _text(value, None, "{:.3f}"))


def summary(dataset: str, profile: str | None = None) -> str:
    """The comparison of FIDs, the effect of shuffled captions, and every other figure that only our runs have, as
    Markdown, or a sentence where there are none."""
    others = [column for column in metric_columns().values() if not column.shuffled and column.key not in PUBLISHED]
    tables = [comparison(dataset, profile=profile), conditioning(dataset, profile)]
    tables += [comparison(dataset, column.title, profile=profile) for column in others]
    return "\n\n".join(to_markdown(t) for t in tables if not t.empty) or f"There are no results on {dataset} yet."


def to_markdown(table: pd.DataFrame) -> str:
    """``table`` with its index as a Markdown table, padded so that it reads well as plain text too."""
    head = [table.index.name or "", *table.columns]
    rows = [head, *([index, *row] for index, row in zip(table.index, table.to_numpy(), strict=True))]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells)
