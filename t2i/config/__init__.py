"""Every number of every run: the papers' values, and the profiles that scale them down.

``PAPER`` is the truth. A profile replaces numbers named in ``SCALE_KNOBS`` and nothing else, so the same code runs at
every size, and :func:`difference` shows a reader exactly what was scaled.
"""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, get_args, get_origin

from t2i.config.papers import COMPOSITIONS, DRAWN, MODELS, PAPER, STAGE_ONE, paper
from t2i.config.profiles import ON_PHOTOGRAPHS, PROFILES, SCALE_KNOBS
from t2i.config.settings import (
    PUBLISHED_EMBEDDINGS,
    CaptionPairsConfig,
    CharCnnRnnConfig,
    ConditionedConfig,
    Config,
    DamsmConfig,
    GanClsConfig,
    GanConfig,
    MultiStageConfig,
    StackGanConfig,
    StackGanStage2Config,
    StackGanTreeConfig,
    without_places,
)
from t2i.errors import UserError, check_name

__all__ = [
    "COMPOSITIONS",
    "DRAWN",
    "MODELS",
    "ON_PHOTOGRAPHS",
    "PAPER",
    "PROFILES",
    "PROFILE_NAMES",
    "PUBLISHED_EMBEDDINGS",
    "SCALE_KNOBS",
    "STAGE_ONE",
    "CaptionPairsConfig",
    "CharCnnRnnConfig",
    "ConditionedConfig",
    "Config",
    "DamsmConfig",
    "GanClsConfig",
    "GanConfig",
    "MultiStageConfig",
    "StackGanConfig",
    "StackGanStage2Config",
    "StackGanTreeConfig",
    "defaults",
    "difference",
    "following",
    "from_dict",
    "load",
    "needs",
    "paper",
    "without_places",
]

PROFILE_NAMES = tuple(PROFILES)
_AT_MOST = {"views": 10}
_MAY_BE_ZERO = ("seed", "steps", "images_per_class", "residual_blocks", "halve_every", "write_back_every")


def load(model: str, dataset: str = "aviary", profile: str = "paper", **overrides) -> Config:
    """The settings of ``model`` on ``dataset`` under ``profile``, with ``overrides`` on top.

    ``dataset`` is the name of a data set, which ``t2i.data`` knows and looks up when it reads, or the path of a folder
    prepared with ``python -m t2i data prepare``. Raises :class:`UserError` for a name, a choice or a number that cannot
    be, naming those that can.
    """
    config = defaults(model, dataset, profile)
    config = _overridden(config, {name: str(v) if isinstance(v, Path) else v for name, v in overrides.items()})
    for field in fields(config):
        if get_origin(field.type) is Literal:
            check_name(field.name.replace("_", " "), getattr(config, field.name), get_args(field.type))
    _check_numbers(config)
    if isinstance(config, GanConfig):
        _check_size(config)
        _check_encoder(config)
    if isinstance(config, StackGanStage2Config):
        config = _with_block_of_stage1(config, overrides)
    return replace(config, root=config.root and str(Path(config.root).expanduser().resolve()))


def defaults(model: str, dataset: str, profile: str) -> Config:
    """The settings of ``model`` on ``dataset`` under ``profile``, as they stand in the tables and before any check."""
    check_name("profile", profile, PROFILE_NAMES)
    dataset, root = _place(dataset)
    tables = [PROFILES[profile]] + ([] if dataset in DRAWN else [ON_PHOTOGRAPHS[profile]])
    replaced = {name: value for table in tables for name, value in table.get(model, {}).items()}
    return replace(paper(model, dataset), profile=profile, root=root, **replaced)


def from_dict(values: dict) -> Config:
    """The config that :meth:`Config.to_dict` wrote, with lists back to tuples."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return load(**values)


def difference(config: Config) -> list[tuple[str, object, object]]:
    """(knob, paper's value, this value) for everything in which ``config`` departs from its paper."""
    published = paper(config.model, config.dataset)
    bookkeeping = {"profile", "root", "seed", "device"}
    pairs = {f.name: (getattr(published, f.name), getattr(config, f.name)) for f in fields(config)}
    return [(name, *pair) for name, pair in pairs.items() if name not in bookkeeping and pair[0] != pair[1]]


def needs(config: Config) -> dict[str, Config | Path]:
    """The runs that must be there before ``config`` can be trained: a setting to train, or the folder of a run.

    ``{"encoder": ...}`` for a GAN that reads with a text encoder, ``{"stage1": ...}`` for a Stage-II, whose encoder
    comes with its Stage-I, and nothing for an encoder or for published embeddings. What is trained for ``config`` has
    its data, root, profile, seed, device and precision. Looks into no file.
    """
    shared = ["root", "seed", "device", "precision"]
    if isinstance(config, StackGanStage2Config):
        return {"stage1": _run(config, config.stage1, [*shared, "text_encoder"])}
    if isinstance(config, GanConfig) and config.text_encoder != PUBLISHED_EMBEDDINGS:
        return {"encoder": _run(config, config.text_encoder, shared)}
    return {}


def _run(config: Config, named: str, shared: list[str]) -> Config | Path:
    """The folder that is ``named``, or the setting of the model of that name, which shares fields with ``config``."""
    if named not in MODELS:
        return Path(named).expanduser()
    return load(named, config.dataset, config.profile, **{name: getattr(config, name) for name in shared})


def following(config: StackGanStage2Config, stage1: Config) -> StackGanStage2Config:
    """``config`` with the block and the text encoder of the Stage-I that it stacks on.

    Raises :class:`UserError` where ``stage1`` is no Stage-I, draws pictures of another size than a quarter, or has
    other widths.
    """
    if not isinstance(stage1, StackGanConfig) or isinstance(stage1, StackGanStage2Config):
        raise _no_stage1(config.stage1)
    same = ("generator_width", "noise_size", "condition_size", "sentence_size")
    for setting, value in {"image_size": config.stage1_size, **{name: getattr(config, name) for name in same}}.items():
        if getattr(stage1, setting) != value:
            there = f"{config.stage1} has {setting} {getattr(stage1, setting)!r}"
            problem = f"{there}, and {config.model} here stacks on {value!r}"
            raise UserError(problem, f"Train a Stage-I with {setting} {value!r}, and name its folder with --stage1.")
    return replace(config, block=stage1.block, text_encoder=stage1.text_encoder)


def _place(dataset: str) -> tuple[str, str | None]:
    """The name and the root of what ``dataset`` names. A folder in the current one that has the name of a data set is
    meant only where no paper knows the name, and if it was prepared."""
    if any(dataset == known for _, known in PAPER):
        return dataset, None
    path = Path(dataset).expanduser()
    is_path = path.name != dataset
    if path.is_dir() and (is_path or (path / "dataset.json").is_file()):
        return "folder", str(path.resolve())
    if is_path:
        raise UserError(f"There is no folder {dataset}", "Name a data set, or a folder that was prepared.")
    return dataset, None


def _overridden(config: Config, overrides: dict) -> Config:
    """``config`` with ``overrides`` of its fields, and of the numbers that its stages have beside them."""
    own = getattr(config, "stage_options", {})
    for name in overrides:
        check_name(f"setting of {config.model}", name, [*(f.name for f in fields(config)), *own])
    if changed := {name: overrides[name] for name in own.keys() & overrides.keys()}:
        config = replace(config, stage_options=own | changed)
    return replace(config, **{name: value for name, value in overrides.items() if name not in own})


def _check_encoder(config: GanConfig) -> None:
    """A model reads with one kind of encoder; only the run in a folder can turn out to be of another."""
    kinds = {name: PAPER[name, "cub"].kind for name in MODELS} | {PUBLISHED_EMBEDDINGS: "char-cnn-rnn"}
    if kinds.get(config.text_encoder, config.reads) != config.reads:
        problem = f"The encoder is {config.text_encoder}, and {config.model} reads with {config.reads}"
        raise UserError(problem, f"Name the folder of a {config.reads} run.")


def _with_block_of_stage1(config: StackGanStage2Config, overrides: dict) -> StackGanStage2Config:
    """``config`` with the block of the Stage-I that it names; that of a folder's is known when the run is loaded."""
    if config.stage1 not in STAGE_ONE:
        if config.stage1 in MODELS:
            raise _no_stage1(config.stage1)
        return config
    block = STAGE_ONE[config.stage1]
    if overrides.get("block", block) != block:
        problem = f"{config.stage1} is made of {block} blocks, not of {overrides['block']} ones"
        raise UserError(problem, "Leave block out: it follows from stage1.")
    return replace(config, block=block)


def _no_stage1(name: str) -> UserError:
    problem = f"{name} is no Stage-I: neither one of {', '.join(STAGE_ONE)} nor the folder of a run of one"
    return UserError(problem, "Name one of them with --stage1.")


def _check_numbers(config: Config) -> None:
    numbers = [(field.name, field.type, getattr(config, field.name)) for field in fields(config)]
    numbers += [(name, float, value) for name, value in getattr(config, "stage_options", {}).items()]
    for name, kind, value in numbers:
        least = int(name not in _MAY_BE_ZERO)
        if kind is int and not (isinstance(value, int) and value >= least):
            raise UserError(f"{name} is {value!r}", f"Give a whole number from {least} on.")
        if name in _AT_MOST and value > _AT_MOST[name]:
            raise UserError(f"{name} is {value!r}", f"Give a whole number from {least} to {_AT_MOST[name]}.")
        if kind is float and not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise UserError(f"{name} is {value!r}", "Give a number from 0 on.")
    if config.learning_rate == 0:
        raise UserError("learning_rate is 0", "Give a number above 0, such as 0.0002.")


def _check_size(config: GanConfig) -> None:
    """A generator doubles 4 px at least once for its first picture, and once more for each refinement."""
    possible = [config.smallest << k for k in range(4)]
    size = config.image_size
    if size < config.smallest or size & (size - 1):
        problem = f"{config.model} cannot draw pictures of {size} px, which are no doublings of {config.smallest}"
        raise UserError(problem, f"Choose an --image-size such as {', '.join(map(str, possible))}.")
