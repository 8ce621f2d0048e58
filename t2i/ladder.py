"""Steps between recorded models: what one has over another, seed by seed, and in what else the two differ."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from t2i import config as configs
from t2i import results

MEASURES = {"FID": "fid", "body color": "body_accuracy", "R-precision": "r_precision"}
SCALES = {"FID": 1.0, "body color": 100.0, "R-precision": 100.0}  # in tables, shares are in percentage points
COLUMNS = ("below", "above", "measure", "besides", "seeds", "change", "half", "shown")
# What a step is about, and what changes no training whose length is the same anyway.
_OF_STAGES = {"initial", "refinements", "tail_kernel", "heads", "grid", "redundancy_weight", "stage_options"}
_WITHOUT_EFFECT = {"model", "seed", "device", "epochs", "log_every", "sample_every", "checkpoint_every"}


def steps(pairs: Sequence[tuple[str, str]], dataset: str, profile: str = "cpu") -> pd.DataFrame:
    """What each step of ``pairs``, (the model below, the one above), changes in the recorded runs: a row for each of
    :data:`MEASURES`.

    Two records are a pair where they have the seed, the length, the real pictures and the protocol in common.
    ``change`` is the mean of their differences, and ``change`` ± ``half`` holds the true one nineteen times in twenty;
    both are NaN where there are fewer than two ``seeds``. ``shown`` tells that zero is left out. ``besides`` are the
    settings other than those of stages in which the two differ: "nothing" in a fair step, "" where there is no pair.
    """
    protocol = configs.defaults(pairs[0][1], dataset, profile).evaluation_protocol
    ours = results.chosen(results.collect(), dataset, profile)
    newest = (ours["origin"] == "recorded") & (ours["protocol"] == protocol) & (ours["earlier"] == 0)
    ours = results.labelled(ours[newest])
    rows = [
        (*pair, title, *_step(results.own_protocol(ours, key), key, *pair))
        for pair in pairs
        for title, key in MEASURES.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def table(known: pd.DataFrame, names: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """:func:`steps` for a reader: a row for each step under its name, and a column for each measure, whose cells are
    "change ± half (seeds)", with a star where that is shown."""
    title = {pair: name for name, pair in names.items()}
    rows: dict[tuple, dict[str, str]] = {}
    for pair, found in known.groupby(["below", "above"], sort=False):
        besides = max(found["besides"])  # "" where one measure has no pair
        rows[title[pair], " to ".join(pair), besides] = {row.measure: _cell(row) for row in found.itertuples()}
    index = pd.MultiIndex.from_tuples(rows, names=["what comes", "step", "besides"])
    return pd.DataFrame(list(rows.values()), index=index)


def student(seeds: int) -> float:
    """Student's t for the mean over ``seeds`` differences: with it, ± t · deviation / √seeds holds the true mean
    nineteen times in twenty. NaN for fewer than two."""
    from scipy.stats import t  # slow to import

    return float(t.ppf(0.975, seeds - 1)) if seeds > 1 else math.nan


def _cell(row) -> str:
    scale = SCALES[row.measure]
    change = f"{row.change * scale:+.1f} ± {row.half * scale:.1f}" if row.seeds > 1 else results.EMPTY
    return f"{change}{' *' if row.shown else ''} ({row.seeds})"


def _step(measured: pd.DataFrame, key: str, below: str, above: str) -> tuple[str, int, float, float, bool]:
    """The last five of :data:`COLUMNS`."""
    lower, upper = (measured[measured["model"] == model] for model in (below, above))
    both = lower.merge(upper, on=["seed", "steps", *results.COLUMN], suffixes=("_below", "_above"))
    besides = "; ".join(dict.fromkeys(map(_besides, both["path_below"], both["path_above"])))
    if len(both) < 2:
        return besides, len(both), math.nan, math.nan, False
    changes = both[f"{key}_above"].astype(float) - both[f"{key}_below"].astype(float)
    half = student(len(both)) * changes.std() / math.sqrt(len(both))
    return besides, len(both), changes.mean(), half, bool(abs(changes.mean()) > half)


def _besides(below: str, above: str) -> str:
    """In which settings two recorded runs differ, those of their stages aside; what was not written down is "?"."""
    pair = [json.loads((Path(path).parent / "config.json").read_text(encoding="utf-8")) for path in (below, above)]
    names = [name for name in pair[0] | pair[1] if name not in _OF_STAGES | _WITHOUT_EFFECT]
    values = {name: tuple(settings.get(name, "?") for settings in pair) for name in names}
    return ", ".join(f"{name} {a} → {b}" for name, (a, b) in values.items() if a != b) or "nothing"
