"""Recorded runs: what ``data/results/`` keeps of a training, so that tables can show it to whoever lacks the hours."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from t2i import config as configs
from t2i import paths, plots
from t2i.metrics.evaluate import evaluate
from t2i.notebook import CAPTIONS
from t2i.results import NAME
from t2i.training import Run, fit

SHEET = 8  # pictures per caption


def record(models: Sequence[str], dataset: str, profile: str, seeds: Sequence[int]) -> list[Path]:
    """Train and measure every model with every seed, and keep settings and figures, and of the first seed a sheet.

    What is trained already is only measured, so a recording that was stopped goes on where it was.
    """
    folders = []
    for seed in seeds:
        for model in models:
            run = fit(configs.load(model, dataset, profile, seed=seed))
            folders.append(keep(run, sheet=seed == seeds[0]))
    return folders


def keep(run: Run, sheet: bool) -> Path:
    """Measure ``run`` and write its settings, its figures and, for a generator, a ``sheet`` of samples."""
    evaluate(run)
    folder = paths.recorded_results() / run.config.name
    settings = run.config.to_dict()
    del settings["root"]  # a place on this machine
    paths.write_json(folder / "config.json", settings)
    paths.write_atomically(folder / NAME, lambda temporary: shutil.copyfile(run.directory / NAME, temporary))
    if sheet and not run.is_encoder:
        plots.save_sheet(run.sample(list(CAPTIONS), SHEET), SHEET, folder / "sheet.png")
    return folder
