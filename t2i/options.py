"""The options of ``train``: every setting of the model that is named, with its source as help."""

import argparse
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from t2i import config as configs
from t2i.config import Config
from t2i.data import DATASETS
from t2i.errors import UserError, check_name

COMMAND = "python -m t2i train"
_FIRST = f"[--dataset NAME|FOLDER] [--profile {'|'.join(configs.PROFILE_NAMES)}]"


class Task(NamedTuple):
    """What the command line asks ``fit`` for."""

    config: Config
    directory: Path | None
    resume: bool


def read(arguments: list[str]) -> Task:
    """The task that ``arguments`` describe: a model's name, then its data set, profile, and other options.

    Model, data set and profile decide which settings there are and what their defaults are, so they are read first.
    Raises :class:`UserError` for a name or a setting that there is not, and ends the process after ``--help`` and for a
    value of the wrong kind, as tyro does.
    """
    first = argparse.ArgumentParser(prog=COMMAND, add_help=False, allow_abbrev=False)
    named, rest = None, arguments
    if arguments and not arguments[0].startswith("-"):
        named, *rest = arguments
    first.add_argument("--model", default=named)
    first.add_argument("--dataset", default="aviary")
    first.add_argument("--profile", default="cpu")
    chosen, rest = first.parse_known_args(rest)
    if chosen.model is None:
        _without_model(rest)
    config = configs.defaults(chosen.model, chosen.dataset, chosen.profile)
    check_name("dataset", config.dataset, DATASETS)
    given, unknown = tyro.cli(
        _options(config),
        args=rest,
        prog=f"{COMMAND} {config.model} {_FIRST}",
        description=f"Train {config.model}. Behind each setting stands where its number comes from; the defaults are "
        f"those of profile {config.profile} on {config.dataset}.",
        return_unknown_args=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    if unknown:
        raise _unknown(config, unknown[0])
    changed = {name: getattr(given, name) for name, value in _settings(config).items() if getattr(given, name) != value}
    directory = given.directory and given.directory.expanduser().resolve()
    return Task(configs.load(chosen.model, chosen.dataset, chosen.profile, **changed), directory, given.resume)


def _settings(config: Config) -> dict:
    """Every setting of ``config`` that has an option of its own, with its value."""
    chosen = ("model", "dataset", "profile", "stage_options")
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in chosen}
    return values | getattr(config, "stage_options", {})


def _options(config: Config) -> type:
    """A data class with a field for every option, as tyro reads it."""
    known = {f.name: f for f in fields(config)}
    rows: list[tuple] = [
        ("directory", Path | None, None, "the folder of the run; none: $T2I_RUNS/<model>-<dataset>-<profile>-s<seed>"),
        ("resume", bool, True, "continue the run in its folder; --no-resume starts it anew"),
    ]
    for name, value in _settings(config).items():
        kind, source = (
            (known[name].type, known[name].metadata["source"]) if name in known else (type(value), "of a stage")
        )
        rows.append((name, kind, value, source))
    return make_dataclass(
        "Options",
        [(name, Annotated[kind, tyro.conf.arg(help=text)], field(default=value)) for name, kind, value, text in rows],
    )


def _without_model(arguments: list[str]) -> None:
    """Print what all models have where ``--help`` asks for it; otherwise a model must be named."""
    names = ", ".join(configs.MODELS)
    if not {"-h", "--help"} & set(arguments):
        raise UserError("train needs the name of a model", f"{COMMAND} MODEL, which is one of: {names}.")
    tyro.cli(
        _options(Config("MODEL", "aviary", profile="cpu")),
        args=["--help"],
        prog=f"{COMMAND} MODEL {_FIRST}",
        description=f"Train a model, or continue a run that was stopped. MODEL is one of: {names}. Each has settings "
        f"beyond those below: {COMMAND} MODEL --help.",
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _unknown(config: Config, option: str) -> UserError:
    """What to say of an option that the model has not."""
    name = option.lstrip("-").split("=")[0].replace("-", "_")
    others = [model for model in configs.MODELS if name in _settings(configs.PAPER[model, "cub"])]
    whose = f"; it is one of {', '.join(others)}" if others else ""
    mend = f"See those that there are: {COMMAND} {config.model} --help"
    return UserError(f"There is no setting of {config.model} called {name!r}{whose}", mend)
