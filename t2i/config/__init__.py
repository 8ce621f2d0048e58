"""Every number of every run: the papers' values, and the profiles that scale them down.

``PAPER`` is the truth. A profile replaces numbers named in ``SCALE_KNOBS`` and nothing else, so the same code runs at
every size, and :func:`difference` shows a reader exactly what was scaled.
"""

import json
import math
from dataclasses import fields, replace
from pathlib import Path

from t2i import paths
from t2i.config.papers import COMPOSITIONS, MODELS, PAPER, STAGE_ONE
from t2i.config.profiles import PROFILES, SCALE_KNOBS
from t2i.config.settings import (
    CharCnnRnnConfig,
    Config,
    DamsmConfig,
    GanClsConfig,
    MultiStageConfig,
    StackGanConfig,
    StackGanStage2Config,
    StackGanTreeConfig,
)
from t2i.errors import UserError, check_name

__all__ = [
    "COMPOSITIONS",
    "MODELS",
    "PAPER",
    "PROFILES",
    "SCALE_KNOBS",
    "STAGE_ONE",
    "CharCnnRnnConfig",
    "Config",
    "DamsmConfig",
    "GanClsConfig",
    "MultiStageConfig",
    "StackGanConfig",
    "StackGanStage2Config",
    "StackGanTreeConfig",
    "difference",
    "from_dict",
    "given_root",
    "load",
]

DATASETS = ("aviary", "cub", "flowers", "coco")
PROFILE_NAMES = ("smoke", "cpu", "gpu", "paper")

_CHOICES = {
    "crop": ("box", "whole"),
    "resize": ("shorter", "square"),
    "precision": ("auto", "32-true", "tf32", "bf16-mixed"),
    "variant": ("cvpr", "icml-gru", "icml-rnn"),
    "image_features": ("googlenet", "aviarynet1"),
    "rnn": ("LSTM", "GRU"),
    "trunk": ("inception-v3", "small"),
    "norm": ("batch", "spectral"),
    "mask": ("correct", "official"),
    "damsm_scales": ("last", "all"),
    "objective": ("code", "paper"),
    "block": ("plain", "residual", "squeeze"),
}

_MAY_BE_ZERO = ("write_back_every", "halve_every", "seed", "steps", "images_per_class", "residual_blocks")


def _default_root(dataset: str, image_size: int) -> str:
    """``$T2I_DATA/<dataset>``; Aviary is drawn at 128 px, or in another folder at 256 px where more is asked for."""
    large = dataset == "aviary" and image_size > 64
    return str((paths.data_root() / (f"{dataset}-256" if large else dataset)).resolve())


def given_root(config: Config) -> str:
    """The root to train another model of the same data with: that of ``config``, or none where it is the default, for
    Aviary may be drawn at another size for the other model (the species are the same, the birds are more)."""
    return "" if config.root == _default_root(config.dataset, config.image_size) else config.root


def load(model: str, dataset: str = "aviary", profile: str = "paper", **overrides) -> Config:
    """The settings of ``model`` on ``dataset`` under ``profile``, with ``overrides`` on top.

    ``dataset`` is one of ``DATASETS`` or the path of a folder prepared with ``python -m t2i data prepare``.
    Raises :class:`UserError` for an unknown name, naming the ones that exist.
    """
    folder = dataset not in DATASETS and Path(dataset).expanduser().is_dir()
    kind = "folder" if folder or dataset == "folder" else dataset
    check_name("model", model, MODELS)
    check_name("dataset", kind, (*DATASETS, "folder"))
    check_name("profile", profile, PROFILE_NAMES)
    paper = PAPER[model, kind]
    config = replace(paper, profile=profile, **PROFILES[profile].get(model, {}))
    if folder:
        config = replace(config, dataset="folder", root=str(Path(dataset).expanduser().resolve()))
    names = [f.name for f in fields(config)]
    for name in overrides:
        check_name(f"setting of {model}", name, names)
    config = replace(config, **overrides)
    if "stage1" in overrides and not {"block", "text_encoder"} <= overrides.keys():  # a saved config has all three
        config = replace(config, **_of_stage1(config.stage1) | overrides)
    for name, choices in _CHOICES.items():
        if name in names:
            check_name(name.replace("_", " "), getattr(config, name), choices)
    _check_numbers(config)
    if isinstance(config, GanClsConfig | MultiStageConfig | StackGanConfig | StackGanTreeConfig):
        _check_size(config)
    root = config.root or _default_root(config.dataset, config.image_size)
    return replace(config, root=str(Path(root).expanduser().resolve()))


def from_dict(values: dict) -> Config:
    """The config that :meth:`Config.to_dict` wrote, with lists back to tuples."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return load(**values)


def difference(config: Config) -> list[tuple[str, object, object]]:
    """(knob, paper's value, this value) for everything in which ``config`` departs from its paper."""
    paper = PAPER[config.model, config.dataset]
    bookkeeping = {"profile", "root", "seed", "device"}
    names = [f.name for f in fields(config) if f.name not in bookkeeping]
    return [(n, getattr(paper, n), getattr(config, n)) for n in names if getattr(paper, n) != getattr(config, n)]


def _of_stage1(stage1: str) -> dict:
    """The settings that Stage-II takes over from its Stage-I, a model's name or the folder of a run."""
    if stage1 in STAGE_ONE:
        return {"block": STAGE_ONE[stage1]}
    try:
        settings = json.loads((Path(stage1).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or settings.get("model") not in STAGE_ONE:
        problem = f"{stage1} is no Stage-I: neither one of {', '.join(STAGE_ONE)} nor the folder of a run of one"
        raise UserError(problem, "Name one of them with --stage1.")
    return {name: settings[name] for name in ("block", "text_encoder")}


def _check_numbers(config: Config) -> None:
    for field in fields(config):
        value, least = getattr(config, field.name), int(field.name not in _MAY_BE_ZERO)
        if field.type is int and not (isinstance(value, int) and value >= least):
            raise UserError(f"{field.name} is {value!r}", f"Give a whole number from {least} on.")
        if field.type is float and not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise UserError(f"{field.name} is {value!r}", "Give a number from 0 on.")
    if config.learning_rate == 0:
        raise UserError("learning_rate is 0", "Give a number above 0, such as 0.0002.")


def _check_size(config: Config) -> None:
    """A generator doubles 4 px at least once for its first picture, and once more for each refinement."""
    smallest = getattr(config, "smallest", 8 << len(getattr(config, "refinements", ())))
    possible = [smallest << k for k in range(4)]
    size = config.image_size
    if size < smallest or size & (size - 1):
        problem = f"{config.model} cannot draw pictures of {size} px, which are no doublings of {smallest}"
        raise UserError(problem, f"Choose an --image-size such as {', '.join(map(str, possible))}.")


def needs(config: Config) -> dict[str, "Config | Path"]:
    if isinstance(config, CharCnnRnnConfig | DamsmConfig):
        return {}
    role, name = (
        ("stage1", config.stage1) if isinstance(config, StackGanStage2Config) else ("encoder", config.text_encoder)
    )
    if name == "published-embeddings":
        return {}
    if name not in MODELS:
        return {role: Path(name)}
    shared = {n: getattr(config, n) for n in ("seed", "device", "precision")} | {"root": given_root(config)}
    if role == "stage1":
        shared["text_encoder"] = config.text_encoder
    return {role: load(name, config.dataset, config.profile, **shared)}


def following(config, stage1):
    return replace(config, block=stage1.block, text_encoder=stage1.text_encoder)
