"""Models side by side, as lessons show them: pictures, curves, and the table in which a lesson ends."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from t2i import config as configs
from t2i import data, log, paths, plots, results
from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.data.images import enlarge, to_uint8
from t2i.metrics import records
from t2i.metrics.table import columns as metric_columns
from t2i.training.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHARTS = {"FID": "fid", "IS": "is_mean", "R-precision": "r_precision", "body color": "body_accuracy"}
OWNERS = {"R-precision": "r_precision", "body color": "attributes"}  # the metrics that have protocols of their own
PUBLISHED = {"FID": "FID", "IS": "IS", "R-precision": "R-precision_%"}
# Columns of a table of photographs: digits, and what records call the figure of a model, of half of the unseen real
# photographs against the other half, and of real photographs of other classes.
WITH_REAL = {
    "FID": (1, "fid", "fid_halves", "fid_wrong_classes"),
    "KID": (3, "kid_mean", "kid_halves", "kid_wrong_classes"),
    "class seen %": (1, "class_consistency", "class_consistency_real", ""),
    "shuffled or chance %": (1, "class_consistency_shuffled", "class_consistency_chance", ""),
    "diversity": (2, "diversity", "", ""),
}
VERSIONS = {"": "published", " (paper)": "published", " (released pretrained)": "published, the released weights"}


def named(run: Run, trained: Run) -> dict[str, Run]:
    """This run and, where ``released.beside`` found one, the released model, by the names under which figures show
    them."""
    both = zip(("this run", "released"), dict.fromkeys((run, trained)), strict=False)
    return {f"{origin}, {one.state['step']:,} steps": one for origin, one in both}


def sheet(
    runs: Mapping[str, Run], captions: Sequence[str], count: int = 3, seed: int = 0, side: float = 0.8
) -> "Figure":
    """``count`` pictures per caption by each of ``runs``, from the same noise, the run's name above its columns."""
    drawn = [run.sample(list(captions), count, seed).unflatten(0, (-1, count)) for run in runs.values()]
    figure = plots.captioned(_alike(drawn), captions, side=side)
    for name, axis in zip(runs, figure.axes[::count], strict=False):
        axis.set_title(name, fontsize=9, loc="left")
    return figure


def _alike(drawn: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pictures (captions, count, 3, s, s) of several runs as rows of one sheet, the smaller ones enlarged."""
    size = max(pictures.shape[-1] for pictures in drawn)
    return torch.cat([enlarge(part, size) for part in drawn], dim=1).flatten(0, 1)


def curves(runs: Mapping[str, Run], panels: Mapping[str, Sequence[str]], heights: Sequence[float] = ()) -> "Figure":
    """Columns of the ``stats.jsonl`` of two runs at most, one panel per title, the first of two dotted; ``heights`` are
    dashed lines, one for each panel from the left."""
    import matplotlib.pyplot as plt

    histories = {name: log.read(run.directory / "stats.jsonl").dropna(subset=["d_loss"]) for name, run in runs.items()}
    with plots.style():
        figure, axes = plt.subplots(
            1, len(panels), figsize=(3.6 * len(panels), 2.8), squeeze=False, layout="constrained"
        )
        plt.close(figure)  # what a cell returns would be shown twice
        for axis, (title, columns) in zip(axes[0], panels.items(), strict=True):
            for number, column in enumerate(columns):
                for (name, history), stroke in zip(histories.items(), (":", "-")[-len(runs) :], strict=True):
                    label = f"{column}, {name.split(',')[0]}"
                    axis.plot(history["step"], history[column], stroke, color=f"C{number}", label=label)
            axis.set(title=title, xlabel="step (each run has its own length)", xscale="log")
            axis.legend(frameon=False, fontsize=7)
        for axis, height in zip(axes[0], heights, strict=False):
            axis.axhline(height, color="black", linestyle="--", linewidth=1)
    return figure


def with_photographs(run: Run, rows: int = 6, count: int = 5, seed: int = 0) -> "Figure | None":
    """For captions of unseen classes of the data that ``run`` has learned from the photograph that is described, or one
    of its class, then ``count`` pictures that it draws. None where the photographs are not on this machine."""
    if not data.root(run.config).is_dir():
        return None
    unseen = ImageTextDataset.from_config(run.config, data.load(run.config), "test")
    own = unseen.certain if len(unseen.certain) else np.arange(len(unseen))  # captions may be known by class alone
    chosen = own[np.linspace(0, len(own) - 1, rows).astype(int)]
    captions = [caption for (caption,) in unseen.captions(chosen, rng_for(seed, 0, "captions beside photographs"))]
    real = to_uint8(unseen.evaluation_images(chosen)[-1])[:, None]
    drawn = run.sample(captions, count, seed).unflatten(0, (-1, count))
    figure = plots.captioned(torch.cat([real, drawn], dim=1).flatten(0, 1), captions, side=0.9)
    for title, axis in zip(("photograph", "drawn"), figure.axes, strict=False):
        axis.set_title(title, fontsize=9, loc="left")
    return figure


def show_photographs(run: Run, rows: int = 6, count: int = 5, seed: int = 0) -> None:
    """Display :func:`with_photographs`, or say that they are not on this machine."""
    from IPython.display import display  # here, because tables need no Jupyter

    figure = with_photographs(run, rows, count, seed)
    if figure is None:
        name = run.config.dataset
        print(f"The photographs of {name!r} are not on this machine; data/README.md says where they come from.")
    else:
        display(figure)


def of_photographs(names: Sequence[str]) -> pd.DataFrame:
    """What is recorded of the released models ``names``, which draw photographs, under :data:`WITH_REAL`: FID, KID, how
    often a picture is taken for one of its caption's class, also with captions shuffled, and diversity per caption.
    Below, the same of real photographs (:class:`t2i.metrics.references.References`)."""
    models, real, protocol = {}, {}, None
    for name in names:
        record = records.read(paths.released() / name / records.NAME)
        method, protocol = results.PUBLISHED_METHODS.get(record["model"], record["model"]), record["protocol"]
        rows = [
            {
                head: _percent_or(record["metrics"].get(keys[k]), head, digits)
                for head, (digits, *keys) in WITH_REAL.items()
            }
            for k in range(3)
        ]
        models[f"{method}, released, {record['steps']:,} steps"] = rows[0]
        real |= dict(
            zip(("real: half of the unseen against the other", "real, but of other kinds"), rows[1:], strict=True)
        )
    return pd.DataFrame(models | real).T.rename_axis(protocol)


def _percent_or(value: float | None, head: str, digits: int) -> str:
    """A figure as its column shows it."""
    if value is None:
        return results.EMPTY
    return f"{100 * value if head.endswith('%') else value:.{digits}f}"


def standings(
    models: Sequence[str], dataset: str, profile: str, record: dict | None = None, real: float | None = None
) -> pd.DataFrame:
    """What is published of each model, what the course released and recorded of it, and this workspace's run under
    ``profile``: a row each, in which every protocol has columns of its own; last, real pictures, as the ``record`` of
    an evaluation has them, with their R-precision ``real``.

    Each of our models is measured on unseen pictures of the data set that it was trained on, and how many there were is
    part of a FID's protocol. Data sets without published figures are set beside those of CUB. ± is the paper's own, or
    over our seeds.
    """
    rows, measured = [], results.collect()
    for model in models:
        rows += _published(model, dataset)
        rows += _ours(measured[measured["model"] == model], model, dataset, profile)
    if cells := _real(record, real):
        rows.append((("real pictures", "the unseen ones", ""), cells))
    table = pd.DataFrame([cells for _, cells in rows], index=pd.MultiIndex.from_tuples([key for key, _ in rows]))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table.rename_axis(index=["method", "whose", "data, size, length"]).fillna(results.EMPTY)


def _published(model: str, dataset: str) -> Iterator[tuple]:
    """The papers' figures of one model, those of its released weights in a row of their own."""
    where = results.PUBLISHED_DATASETS.get(results.data_name(dataset), "CUB")
    method = results.PUBLISHED_METHODS.get(model, model)
    found = results.published(where)
    if method not in set(found["method"]):
        where, found = "CUB", results.published("CUB")
    size = configs.load(model, "cub").image_size
    for whose in dict.fromkeys(VERSIONS.values()):
        names = [method + ending for ending, version in VERSIONS.items() if version == whose]
        cells: dict[tuple[str, str], list[str]] = {}
        for title, metric in PUBLISHED.items():
            for row in (
                found[found["method"].isin(names) & (found["metric"] == metric)].dropna(subset="value").itertuples()
            ):
                text = f"{row.value:g}" + ("" if pd.isna(row.std) else f" ± {row.std:g}")
                cells.setdefault((_by(title, row), _title(title)), []).append(text)
        for (by, title), values in list(cells.items()):  # what is quoted under a known implementation too, once
            if by.endswith(", inferred") and set(values) <= set(cells.get((by.removesuffix(", inferred"), title), [])):
                del cells[by, title]
        if cells:
            yield (method, whose, f"{where}, {size} px"), {k: " / ".join(dict.fromkeys(v)) for k, v in cells.items()}


def _real(record: dict | None, r_precision: float | None) -> dict[tuple[str, str], str]:
    """What the same witnesses say of real pictures: the figures that no generator should be expected to pass."""
    own = record["protocols"] if record else {}
    body = record["extra"].get("attributes", {}).get("body", {}).get("real") if record else None
    known = {"R-precision": r_precision, "body color": body}
    return {
        (own.get(OWNERS[name], name), _title(name)): f"{100 * value:.1f}"
        for name, value in known.items()
        if value is not None and not np.isnan(value)
    }


def _by(title: str, row) -> str:
    """Who measured a published figure: the implementation of a FID, the network of an IS."""
    kind = "" if title != "FID" or pd.isna(row.fid_impl) else row.fid_impl
    if title != "FID":
        return {"IS": "Inception", "R-precision": "DAMSM"}[title]
    port = {"tensorflow": "TensorFlow", "legacy": "old PyTorch port"}.get(kind.split("_")[0], "not stated")
    return port + (", inferred" if kind.endswith("inferred") else "")


def _ours(found: pd.DataFrame, model: str, dataset: str, profile: str) -> Iterator[tuple]:
    """The course's figures of one model: released, recorded with spread, and this workspace's under ``profile``; rows
    and columns are kept apart by what :mod:`t2i.results` keeps apart."""
    name = results.data_name(dataset)
    # The released models are trained, and measured, on the larger set of drawn birds.
    found = found[found["dataset"].isin(configs.DRAWN if name in configs.DRAWN else [name])]
    found = results.labelled(found[(found["origin"] != "this run") | (found["profile"] == profile)])
    known = {column.key: column for column in metric_columns().values()}
    cells: dict[tuple, dict[tuple[str, str], str]] = {}
    for title, key in CHARTS.items():
        for row in results.own_rows(found, known[key]):
            label = row["run"].removeprefix(f"{row['origin']}, ")
            whose = results.PUBLISHED_METHODS.get(model, model), row["origin"], f"{row['dataset']}, {label}"
            count = "" if pd.isna(row["real_count"]) else f", {row['real_count']:,.0f} real"
            cell = cells.setdefault(whose, {})
            cell[f"{row['protocol']}{count}", _title(title)] = row["text"].removesuffix(f" (n = {row['n']})")
    yield from cells.items()


def _title(name: str) -> str:
    """The heading of a column of ours: R-precision and body color are shown in per cent."""
    return f"{name} %" if name in OWNERS else name
