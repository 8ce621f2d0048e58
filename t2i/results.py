"""Results: one JSON record per evaluated run, and tables that set published, recorded and own figures side by side.

A figure means nothing without its protocol. So a record carries protocol, counts, seed, hardware and commit, tables are
made from records only, and a table has one column per protocol: two figures that were made differently cannot meet in
one. Rows that look bad stay.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from t2i import paths
from t2i.config import Config
from t2i.data import DATASETS
from t2i.errors import UserError
from t2i.metrics.protocols import PROTOCOLS, Protocol
from t2i.provenance import commit, hardware

NAME = "result.json"
EMPTY = "–"

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
_CONDITIONING = {
    "body_accuracy": "body color seen",
    "body_accuracy_shuffled": "with captions shuffled",
    "r_precision": "R-precision",
    "r_precision_shuffled": "shuffled",
    "matching_score": "D's score of real pairs",
    "matching_score_shuffled": "of shuffled pairs",
}
METRIC_KEYS = {"FID": "fid", "IS": "is_mean", "KID": "kid_mean"}

# What read() insists on; further fields are kept as they are.
_FIELDS = {
    "model": str,
    "dataset": str,
    "profile": str,
    "seed": int,
    "image_size": int,
    "protocol": str,
    "metrics": dict,
    "generated_count": int | None,
    "real_count": int | None,
    "date": str,
    "commit": str,
    "fingerprint": str,
}
_COLUMNS = ["origin", *(name for name in _FIELDS if name != "metrics"), "path"]


def record(
    config: Config,
    metrics: dict,
    protocol: Protocol | str,
    extra: dict | None = None,
    *,
    seconds: float | None = None,
) -> dict:
    """What there is to know about one evaluation, ready for :func:`write`.

    ``metrics`` maps names to numbers, tensors of one element, or None; a number that is not finite becomes None. Its
    ``generated_count`` and ``real_count`` become fields of the record. ``protocol`` may be a name outside the registry,
    such as "zero-shot". ``seconds`` is the time the run took, ``extra`` anything else that JSON can hold.
    """
    settings = protocol if isinstance(protocol, Protocol) else PROTOCOLS.get(protocol)
    numbers = {name: _number(value) for name, value in metrics.items()}
    counts = {name: numbers.pop(name, None) for name in ("generated_count", "real_count")}
    return {
        "model": config.model,
        "dataset": config.data_name,
        "profile": config.profile,
        "seed": config.seed,
        "image_size": config.image_size,
        "protocol": settings.name if settings else protocol,
        "protocol_settings": dataclasses.asdict(settings) if settings else None,
        "metrics": numbers,
        **counts,
        "seconds": seconds,
        "hardware": hardware(config.device),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": config.fingerprint(),
        "extra": extra or {},
    }


def write(directory: Path | str, record: dict, name: str = NAME) -> Path:
    """Write ``record`` to ``directory``; a second protocol goes under another name of the form ``result*.json``."""
    path = Path(directory) / name
    paths.write_json(path, record)
    return path


def read(path: Path | str) -> dict:
    """The record at ``path``; raises :class:`UserError` where it is missing, broken, or no record."""
    path = Path(path)
    mend = f"Delete it and evaluate again: python -m t2i evaluate --run {path.parent}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", f"Make it with python -m t2i evaluate --run {path.parent}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error})", mend) from error
    wrong = [name for name, kind in _FIELDS.items() if not isinstance(value, dict) or not _is(value, name, kind)]
    wrong += [f"metrics.{n}" for n, v in (value["metrics"].items() if not wrong else ()) if not _is_figure(v)]
    if wrong:
        raise UserError(f"{path} is not a result: {', '.join(wrong)} missing or of the wrong kind", mend)
    return value


def _is(value: dict, name: str, kind) -> bool:
    return name in value and isinstance(value[name], kind) and not isinstance(value[name], bool)


def _is_figure(value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value) -> int | float | None:
    value = value.item() if hasattr(value, "item") else value
    return value if value is not None and math.isfinite(value) else None


def implausible(record: dict) -> list[str]:
    """What cannot be right about a record's FID and IS, in sentences; empty where nothing is.

    Catches the headings that a published table has swapped: by an Inception, the IS of birds and flowers stays below
    10 and their FID well above 5.
    """
    metrics, dataset = record["metrics"], record["dataset"]
    fid, inception_score = metrics.get("fid"), metrics.get("is_mean")
    narrow = dataset in ("aviary", "cub", "flowers")
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
    path = paths.checkout() / "data" / "published.json"
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
    """Every ``result*.json`` under the runs ("this run") and under ``data/results`` ("recorded"), one row each.

    Columns: origin, the record's fields, its path, and its metrics. Of several evaluations of one run under one
    protocol the newest counts.
    """
    roots = {"recorded": recorded_root or paths.recorded_results(), "this run": runs_root or paths.runs_root()}
    rows = []
    for origin, root in roots.items():
        for path in sorted(Path(root).rglob("result*.json")):
            found = read(path)
            fields = {name: found[name] for name in _COLUMNS if name in found}
            rows.append({**found["metrics"], **fields, "origin": origin, "path": str(path)})
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])))
    same = ["origin", "model", "dataset", "profile", "seed", "image_size", "protocol"]
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
    ``key`` its name in our records, where ``METRIC_KEYS`` does not know it; ``profile`` keeps one profile. A published
    ± is the paper's own; ours is over the ``n`` seeds, and absent for one.
    """
    name, key = Path(dataset).resolve().name, key or METRIC_KEYS.get(metric, metric)
    ours = collect(runs_root, recorded_root)
    ours = ours[(ours["dataset"] == name) & (ours["profile"].isin([profile]) | (profile is None))]
    ours = ours[ours["protocol"].str.startswith("fid") | (metric not in METRIC_KEYS)]  # an encoder has no FID
    rows = [*_published_rows(name, metric), *(_own_rows(ours, key) if key in ours else ())]
    return pd.DataFrame(rows, columns=["method", "column", "value", "std", "n", "text"])


def _published_rows(dataset: str, metric: str) -> Iterator[tuple]:
    for _, found in published(dataset, metric=metric).iterrows():
        method, value, std = found["method"].removesuffix(" (paper)"), found["value"], found["std"]
        yield method, _published_column(found), value, std, None, _text(value, std, "{:.10g}")


def _own_rows(table: pd.DataFrame, key: str) -> Iterator[tuple]:
    """One row per model and column: mean and standard deviation over the seeds."""
    shape = "{:.4f}" if key.startswith("kid") else "{:.2f}"
    by = ["origin", "protocol", "profile", "image_size", "generated_count", "real_count", "model"]
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


def _own_column(origin, protocol, profile, image_size, generated, real) -> str:
    """The size of the images and the number of real ones change a FID as the protocol's name does."""
    counts = [f", {n:.0f} {what}" for n, what in ((generated, "generated"), (real, "real")) if not pd.isna(n)]
    return f"{origin} {protocol} ({profile}, {image_size} px{''.join(counts)})"


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
    ours = collect(**roots)
    ours = ours[
        (ours["dataset"] == Path(dataset).resolve().name) & (ours["profile"].isin([profile]) | (profile is None))
    ]
    ours = ours[ours["matching_score"].notna()] if "matching_score" in ours else ours.iloc[:0]
    names = ours["model"] + " s" + ours["seed"].astype(str) + " (" + ours["origin"] + ", " + ours["profile"] + ")"
    table = ours.reindex(columns=list(_CONDITIONING)).rename(columns=_CONDITIONING).set_axis(names.rename("model"))
    return table.map(lambda value: _text(value, None, "{:.3f}"))


def summary(dataset: str, profile: str | None = None) -> str:
    """The comparison of FIDs and the effect of shuffled captions as Markdown, or a sentence where there are none."""
    tables = [comparison(dataset, profile=profile), conditioning(dataset, profile)]
    return "\n\n".join(to_markdown(t) for t in tables if not t.empty) or f"There are no results on {dataset} yet."


def to_markdown(table: pd.DataFrame) -> str:
    """``table`` with its index as a Markdown table, padded so that it reads well as plain text too."""
    head = [table.index.name or "", *table.columns]
    rows = [head, *([index, *row] for index, row in zip(table.index, table.to_numpy(), strict=True))]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells)
