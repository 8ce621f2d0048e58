"""Recorded runs: what ``data/results/`` keeps of a training, so that tables can show it to whoever lacks the hours."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from t2i import config as configs
from t2i import own, paths, plots
from t2i import parallel as trainings
from t2i.config import MODELS, Config
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.metrics.records import NAME
from t2i.notebook import captions_for
from t2i.results import data_name
from t2i.training import Run, fit

SHEET = 8  # pictures per caption
CURVE = "curve.json"
COMMON = ("model", "dataset", "profile", "seed", "image_size", "protocol", "generated_count", "real_count", "commit")


def record(
    models: Sequence[str],
    dataset: str,
    profile: str,
    seeds: Sequence[int],
    parallel: int = 1,
    seconds: float = math.inf,
    folder: Path | None = None,
    text_encoder: str | None = None,
) -> list[Path]:
    """Train and measure every model with every seed, and keep settings and figures, and of the first seed a sheet.

    In place of a model there may be the folder of a finished run, whatever its settings: it is measured and kept.
    All read with the encoder ``text_encoder``, the folder of a run or released:NAME, which also judges their
    R-precision; by default each seed has one of its own, and the figures of two judges are never averaged.
    Up to ``parallel`` of them are trained at once on one device, which changes no run. After ``seconds`` all are
    stopped, and measured at the step that they have reached, which their records name. What is trained already is only
    measured, so a recording that was stopped goes on where it was. The records go to ``folder``, by default
    ``data/results/``. Raises :class:`UserError` for what could not be trained, when all the others are recorded.
    """
    given = {} if text_encoder is None else {"text_encoder": text_encoder}
    places = [model for model in models if model not in MODELS and Path(model).is_dir()]
    trained = [Run.load(place) for place in places]
    names = [model for model in models if model not in places]
    wanted = [configs.load(model, dataset, profile, seed=seed, **given) for seed in seeds for model in names]
    for run in trained:
        run.check_finished()
    for name in [run.directory.name for run in trained] + [config.name for config in wanted]:
        own.check_whole((folder or paths.recorded_results()) / name)
    at_once = parallel != 1 or seconds < math.inf
    wrong = trainings.train(wanted, parallel, seconds) if at_once else {}
    folders = [keep(run, sheet=True, folder=folder) for run in trained]
    for config in wanted:
        if wrong.get(config.name) == trainings.unfinished(seconds) and (config.directory / "checkpoint.pt").exists():
            run = Run.load(config.directory)
            print(f"{config.name}: {wrong.pop(config.name)}; measured at step {run.state['step']:,}")
        elif config.name not in wrong:
            run = fit(config)
        else:
            continue
        folders.append(keep(run, sheet=config.seed == seeds[0], folder=folder))
    if wrong:
        problem = f"Not trained: {'; '.join(f'{name}: {why}' for name, why in wrong.items())}"
        raise UserError(problem, "Whatever else was asked for is recorded; the same command goes on with the rest.")
    return folders


def keep(run: Run, sheet: bool, folder: Path | None = None) -> Path:
    """Measure ``run`` and write its settings, its figures and, for a generator, a ``sheet`` of samples, into a folder
    of its own name in ``folder``, by default ``data/results/``."""
    evaluate(run)
    folder = (folder or paths.recorded_results()) / run.directory.name
    settings = configs.without_places(run.config.to_dict())
    del settings["root"]
    paths.write_json(folder / "config.json", settings)
    paths.write_atomically(folder / NAME, lambda temporary: shutil.copyfile(run.directory / NAME, temporary))
    if sheet and not run.is_encoder:
        plots.save_sheet(run.sample(list(captions_for(run.config.data_name)), SHEET), SHEET, folder / "sheet.png")
    return folder


def follow(
    models: Sequence[str], dataset: str, profile: str, seeds: Sequence[int], steps: int, points: int
) -> list[Path]:
    """Train every model with every seed to ``steps``, longer than the profile may, and measure it ``points`` times on
    the way, at equal distances; ``curve.json`` keeps the figures. What was stopped goes on where it was.

    Raises :class:`UserError` where ``points`` does not fit ``steps``, and where a run is past a point that was never
    measured.
    """
    if not 1 <= points <= steps or steps % points:
        raise UserError(f"{steps} steps have no {points} equal parts", "Choose --points that divides --steps.")
    files = []
    for seed in seeds:
        for model in models:
            config = configs.load(model, dataset, profile, seed=seed)
            own.check_whole(paths.recorded_results() / config.name)
            until = range(steps // points, steps + 1, steps // points)
            files.append(_curve(config, until))
    return files


def _curve(config: Config, until: Sequence[int]) -> Path:
    """Measure at the steps ``until`` and keep what is common to all measurements once."""
    kept = config.directory / CURVE
    curve = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {"points": []}
    for step in until:
        if step in [point["step"] for point in curve["points"]]:
            continue
        run = fit(replace(config, steps=step))
        if run.state["step"] != step:
            problem = f"{run.directory} is at step {run.state['step']} already, and was not measured at step {step}"
            raise UserError(problem, "Set T2I_RUNS to a folder without that run.")
        record = evaluate(run)
        point = {"step": step, **record["metrics"]}
        curve = {name: record[name] for name in COMMON} | {"points": [*curve["points"], point]}
        paths.write_json(kept, curve)
    file = paths.recorded_results() / config.name / CURVE
    paths.write_json(file, curve)
    return file


def curves(dataset: str, profile: str, models: Sequence[str]) -> pd.DataFrame:
    """What :func:`follow` has recorded: a row for each model, seed and step, with protocol and metrics."""
    files = [paths.recorded_results().glob(f"{name}-{data_name(dataset)}-{profile}-s*/{CURVE}") for name in models]
    found = [json.loads(file.read_text(encoding="utf-8")) for every in files for file in sorted(every)]
    return pd.DataFrame({name: curve[name] for name in COMMON} | point for curve in found for point in curve["points"])
