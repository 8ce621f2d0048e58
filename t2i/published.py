"""The figures that papers print, from ``data/published.json``: by name, or table by table as printed."""

import functools
import json
import string
from typing import NamedTuple

import pandas as pd

from t2i import paths
from t2i.data import DATASETS
from t2i.errors import UserError

EMPTY = "–"  # a cell of a table that has no figure
PUBLISHED_DATASETS = {name: entry.published for name, entry in DATASETS.items() if entry.published}
# "damsm" is not among them: no source has a figure of DAMSM itself, which judges the others there. (TISE's R-precision
# of real images is CLIP's.) No name carries a size: a run of ours may have another.
PUBLISHED_METHODS = {
    "char-cnn-rnn": "Char-CNN-RNN DS-SJE",
    "gan-cls": "GAN-CLS",
    "gan-cls-int": "GAN-INT-CLS",
    "stackgan-cnn": "StackGAN Stage-I CNN",
    "stackgan-res": "StackGAN Stage-I ResBlock",
    "stackgan-se": "StackGAN Stage-I SE block",
    "stackgan-stage2": "StackGAN Stage-II ResBlock",
    "attngan": "AttnGAN",
    "dm-gan": "DM-GAN",
    "attndm-gan": "AttnDM-GAN",
    "dmattn-gan": "DMAttn-GAN",
    "mtwig-dm-gan": "MTWIG w/ DM-GAN refinement",
    "mtwig-sdm-gan": "MTWIG w/ SDM refinement",
    "msmt-gan": "MSMT-GAN",
    "ig": "IG (initial generation, single stage)",
    "mtwig-ks1": "MTWIG ks=1",
    "mtwig-ks2": "MTWIG ks=2",
    "mtwig-ks3": "MTWIG ks=3",
}
_HEADINGS = {
    "R-precision_%": "R-precision %",
    "params_test_time_incl_text_encoder_M": "million parameters",
    "params_trainable": "parameters",
    "train_minutes_per_epoch_V100": "minutes per epoch",
    "human_score_avg": "human score",
    "encoder_accuracy_%": "encoder accuracy %",
    "zero_shot_top1_%": "zero-shot accuracy %",
    "retrieval_AP@50_%": "AP@50 %",
    "R-precision_TISE_%": "R-precision (TISE) %",
    "IS*_TISE": "IS* (TISE)",
}

_EVALUATE = "python -m t2i evaluate --run RUN --metric"
_FILES = {
    "legacy": "inception_v3_google-0cc3c7bd.pth in $TORCH_HOME/hub/checkpoints",
    "tf": "weights-inception-2015-12-05-6726825d.pth in $TORCH_HOME/hub/checkpoints",
    "own": "StackGAN's fine-tuned Inception, as its checkpoint or converted, where --weights says",
    "judge": "image_encoderN.pth beside text_encoderN.pth when the text encoder is imported",
}
_OTHERS = "nothing; .discriminators[2] is D_NET256, and other models and data sets have their names"
_COUNT = "sum(p.numel() for p in models.build('dm-gan', 'cub').generator.parameters())"


class Table(NamedTuple):
    """A table as it is shown: ``frame`` holds text under short headings, "" where a row has no such cell; ``notes``
    stand below it, and ``rows`` are its figures one by one, for programs."""

    title: str
    frame: pd.DataFrame
    notes: list[str]
    rows: list[dict]
    part: str = ""  # the heading under which several tables stand


@functools.cache
def facts() -> dict:
    """All of ``data/published.json``: records, sources, inconsistencies, hyperparameters, parameter counts, speeds."""
    path = paths.course_data() / "published.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})", paths.restore(path)) from error


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


def heading(metric: str, implementation: str | None = None) -> str:
    """What a column of published figures is called: the metric with its unit and, of a FID, its implementation."""
    name = _HEADINGS.get(metric, metric)
    return f"{name} ({facts()['fid_implementations'][implementation]['short']})" if implementation else name


def text(value: float | None, std: float | None, digits: int | None = None) -> str:
    """A figure with its spread, as far as it has them, with so many digits after the point or, by default, as many as
    the longer of the two was printed with."""
    if pd.isna(value):
        return EMPTY
    known = [number for number in (value, std) if not pd.isna(number)]
    if digits is None:
        digits = max(len(f"{number:.10g}".partition(".")[2]) for number in known)
    return " ± ".join(f"{number:.{digits}f}" for number in known)


def papers() -> dict[str, str]:
    """The sources that the course reproduces, with their titles."""
    return {key: s["title"] for key, s in facts()["sources"].items() if s["reproduced_in_this_course"]}


def tables(dataset: str | None = None) -> list[Table]:
    """The tables of the papers that the course reproduces, as printed, on all data sets or on one: every figure with
    what is doubtful about it, and after each paper the errors that are known of it.

    A figure never shares a column with those of another data set, metric or implementation, even where the print
    mixes them.
    """
    found = []
    for source, title in papers().items():
        ours = published(dataset)
        ours = ours[ours["source"] == source]
        if ours.empty:
            continue
        for where, part in ours.groupby(ours["where"].str.partition(" (AS PRINTED")[0], sort=False):
            found.append(_printed(where, part)._replace(part=title))
        found[-1] = found[-1]._replace(notes=[*found[-1].notes, *_errors(source)])
    return found


def _errors(source: str) -> list[str]:
    """What is known to be wrong with a paper, the grave first, and what the course does about it."""
    rows = [row for row in facts()["inconsistencies"] if row["source"] == source]
    rows.sort(key=lambda row: ("high", "medium", "low").index(row["severity"]))
    kinds = {"high": "Grave error", "medium": "Error", "low": "Slip"}
    return [f"{kinds[row['severity']]}: {row['what']}. {row['in_this_course'] or ''}".strip() for row in rows]


def _printed(title: str, records: pd.DataFrame) -> Table:
    """One printed table. What is to be said of all its figures is said once; other remarks have a letter."""
    rows = records.astype(object).where(records.notna(), None).to_dict("records")
    remarks = [_remarks(row) for row in rows]
    shared = [part for part in remarks[0] if all(part in other for other in remarks)]
    single = ["; ".join(part for part in parts if part not in shared) for parts in remarks]
    marks = dict(zip(filter(None, dict.fromkeys(single)), string.ascii_lowercase, strict=False))
    cells: dict[str, dict] = {}
    for row, remark in zip(rows, single, strict=True):
        column = f"{row['dataset']}: {heading(row['metric'], row['fid_impl'])}"
        mark = f" [{marks[remark]}]" if remark else ""
        cells.setdefault(row["method"], {})[column] = text(row["value"], row["std"]) + mark
    frame = pd.DataFrame.from_dict(cells, orient="index").fillna("").rename_axis("method")
    notes = [f"[{mark}] {remark}" for remark, mark in marks.items()]
    return Table(title, frame, [*(["; ".join(shared)] if shared else []), *notes], rows)


def _remarks(row: dict) -> list[str]:
    """What a record says about its figure besides value and source."""
    parts = [row["setting"], f"{row['n_images']:,.0f} pictures" if row["n_images"] else None]
    parts += [flag.replace("_", " ") for flag in row["flags"]]
    return [part for part in (*parts, row["note"]) if part]


def command(dataset: str, metric: str, implementation: str | None = None) -> tuple[str, str]:
    """What computes a column of a paper's table for a run, and what must lie where besides the data set; RUN is a
    trained run, or released weights after ``python -m t2i import``."""
    if metric == "FID" and implementation.startswith("legacy"):
        return f"{_EVALUATE} fidelity --protocol fid30k-inception-legacy", _FILES["legacy"]
    if metric == "FID" and implementation.startswith("tensorflow"):
        return f"{_EVALUATE} fidelity --protocol fid30k-inception-tf", _FILES["tf"]
    if metric == "FID":
        either = f"{_EVALUATE} fidelity --protocol fid30k-inception-legacy, and again with fid30k-inception-tf"
        return either, f"{_FILES['legacy']}; {_FILES['tf']}; the paper does not say which it used"
    if metric == "IS" and dataset == "COCO":
        return f"{_EVALUATE} fidelity --protocol fid30k-inception-tf", _FILES["tf"]
    if metric == "IS":
        name = "birds" if dataset == "CUB" else "flowers"
        return f"{_EVALUATE} fidelity --protocol is30k-inception-{name} --weights FILE", _FILES["own"]
    if metric == "R-precision_%":
        told = f"{_FILES['judge']}; the paper's is r_precision_official_published_folds, in result.json"
        return f"{_EVALUATE} r_precision --protocol fid30k-inception-tf", told
    others = {
        "train_minutes_per_epoch_V100": ("python benchmarks/step.py --sizes paper", "a GPU of that kind"),
        "human_score_avg": ("none: people judge", "the sheets of python -m t2i sample, and three raters"),
        "encoder_accuracy_%": ("python -m t2i train char-cnn-rnn --dataset flowers", "batch_accuracy in stats.jsonl"),
    }
    if metric.startswith("params"):
        return (
            f'python -c "from t2i import models; print({_COUNT})"',
            _OTHERS,
        )
    return others[metric]


def commands(dataset: str | None = None) -> pd.DataFrame:
    """For every column of the papers' tables the command that computes it, and what must be where; a paper has the name
    of its source."""
    found = []
    for table in tables(dataset):
        columns = {(row["dataset"], row["metric"], row["fid_impl"]): None for row in table.rows}
        for where, metric, implementation in columns:
            column = f"{where}: {heading(metric, implementation)}"
            found.append((table.rows[0]["source"], table.title, column, *command(where, metric, implementation)))
    return pd.DataFrame(found, columns=["paper", "table", "column", "command", "what must be where"])
