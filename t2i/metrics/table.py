"""The table of metrics. A further one is a class in a file of its own, and an entry here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from t2i.errors import UserError, check_name
from t2i.metrics.attributes import Attributes
from t2i.metrics.class_consistency import ClassConsistency
from t2i.metrics.clip import ClipRPrecision
from t2i.metrics.conditioning import Matching
from t2i.metrics.diversity import Diversity
from t2i.metrics.fidelity import Fidelity
from t2i.metrics.metric import Column, Metric
from t2i.metrics.r_precision import RealRPrecision, RPrecision
from t2i.metrics.references import References
from t2i.metrics.retrieval import CaptionRecall, Galleries, ZeroShot
from t2i.progress import tqdm

if TYPE_CHECKING:
    from t2i.training.run import Run

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Fidelity(),
        Attributes(),
        Diversity(),
        RPrecision(),
        ClipRPrecision(),
        Matching(),
        ZeroShot(),
        CaptionRecall(),
        Galleries(),
        RealRPrecision(),
        ClassConsistency(),
        References(),
    )
}


def columns() -> dict[str, Column]:
    """The columns of all metrics by their titles."""
    return {column.title: column for metric in METRICS.values() for column in metric.columns}


def choose(run: "Run", names: Sequence[str] | None = None) -> tuple[list[Metric], dict[str, str]]:
    """The metrics called ``names``, by default all that apply to ``run`` and are not ``on_request``, and a note for
    each that is left out for want of something.

    Raises :class:`UserError` for an unknown name, with those that exist, and for a metric that does not apply.
    """
    for name in names or ():
        check_name("metric", name, METRICS)
        if not METRICS[name].applies(run):
            here = ", ".join(other for other, metric in METRICS.items() if metric.applies(run))
            problem = f"{name} does not apply to {run.directory.name}: it needs {METRICS[name].needs}"
            raise UserError(problem, f"Choose one of: {here}.")
        if missing := METRICS[name].missing(run):
            raise missing
    if names is not None:
        return [metric for name, metric in METRICS.items() if name in names], {}
    chosen, left_out = [], {}
    for name, metric in METRICS.items():
        if metric.applies(run) and not metric.on_request:
            if missing := metric.missing(run):
                left_out[name] = f"left out: {missing.problem}"
                tqdm.write(f"{name} is left out: {missing}")
            else:
                chosen.append(metric)
    return chosen, left_out
