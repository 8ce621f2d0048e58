"""What a run builds on, and how it continues: settled before anything of it is made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from t2i import checkpoint, data, device
from t2i import config as configs
from t2i.config import Config
from t2i.errors import UserError
from t2i.progress import tqdm
from t2i.training import released
from t2i.training.encoders import PublishedEncoders
from t2i.training.objectives import OBJECTIVES, Objective
from t2i.training.recipe import Basis, Recipe
from t2i.training.recipes import RECIPES
from t2i.training.run import Run

# A run may be continued with other values of these; anything else would make it another run.
INTERVALS = "log_every", "sample_every", "checkpoint_every"
FREE_TO_CHANGE = frozenset(["root", "device", "compile", "steps", "epochs", "evaluation_protocol", *INTERVALS])
GIVEN = {"encoder": "text_encoder", "stage1": "stage1"}  # the setting that names what a run builds on


def begun(config: Config, basis: Basis, recipe: type[Recipe], given: dict[str, Run]) -> tuple[Config, dict]:
    """``config`` for a new run, with what follows from the runs it builds on and from this machine decided; and the
    settings that were decided, with what had been asked for."""
    folders = {GIVEN[role]: str(run.directory) for role, run in given.items()}
    decided = replace(config, **folders)
    decided = configs.following(decided, basis.stage1.config) if basis.stage1 else decided
    precision = device.resolve_precision(config.precision, config.device)
    decided = replace(decided, precision=precision, **recipe.backbone(config))
    before, after = config.to_dict(), decided.to_dict()
    return decided, {name: before[name] for name in before if before[name] != after[name]}


def saved_state(directory: Path, optimizers: bool = True) -> checkpoint.State | None:
    """The checkpoint of an earlier part of a run, or None where there is none."""
    file = directory / "checkpoint.pt"
    return checkpoint.read(file, optimizers) if file.exists() else None


def continued(config: Config, saved: checkpoint.State, directory: Path) -> Config:
    """``config`` as the run in ``directory`` goes on with it: what was decided when it began stays, whatever this
    machine would decide now. :class:`UserError` where the folder holds another run."""
    before = configs.from_dict(saved["config"]).to_dict()  # settings that came later at their defaults
    decided = {name: before[name] for name, wish in saved["asked"].items() if config.to_dict()[name] == wish}
    if config.precision == "auto":
        decided["precision"] = before["precision"]
    config = replace(config, **{name: tuple(v) if isinstance(v, list) else v for name, v in decided.items()})
    now = config.to_dict()
    changed = [name for name in now if name not in FREE_TO_CHANGE and before.get(name) != now[name]]
    if changed:
        what = ", ".join(f"{name} {before.get(name)!r} there and {now[name]!r} here" for name in changed)
        raise UserError(
            f"{directory} holds a run with other settings ({what})",
            "Choose another --seed, --directory or T2I_RUNS, or replace the run with --no-resume.",
        )
    return config


def check_losses(saved: checkpoint.State, config: Config, objective: Objective | None, directory: Path) -> None:
    """:class:`UserError` where the run in ``directory`` began with other losses than it is called with."""
    own = OBJECTIVES.get(type(config))
    called = type(objective).__name__ if objective else own.__name__ if own else ""
    if saved["objective"] not in ("", called):  # a released generator does not say
        problem = f"{directory} holds a run with other losses ({saved['objective']} there and {called} here)"
        raise UserError(problem, "Give it the objective it began with, or another --directory.")


def check_data(saved: checkpoint.State, config: Config, directory: Path) -> None:
    """:class:`UserError` where the data of a finished run have changed since; where they are gone, nothing is said."""
    if saved.get("data") and data.root(config).is_dir():
        check_digest(saved, RECIPES[type(config)].read(config).digest(), config, directory)


def check_digest(saved: checkpoint.State, found: str, config: Config, directory: Path) -> None:
    """:class:`UserError` where the run in ``directory`` began with other data than ``found`` is the digest of."""
    if saved.get("data", found) != found:
        problem = f"{directory} holds a run on other data ({saved['data']} there and {found} here)"
        place = config.root if config.dataset == "folder" else config.dataset
        again = f"python -m t2i train {config.model} --dataset {place} --profile {config.profile} --seed {config.seed}"
        raise UserError(problem, f"Give it what it began with, or replace the run: {again} --no-resume")


def say_what_is_new(recipe: Recipe) -> None:
    """Say where an encoder that learned from other data reads captions that it may not understand."""
    encoders = recipe.basis.encoders
    if not encoders or encoders.data in ("", recipe.index.digest()):
        return
    note = f"note: {recipe.config.name} reads with an encoder that learned from other data ({encoders.data})"
    if encoders.reads_words:
        captions = (caption for example in recipe.index.examples for caption in example.captions)
        known = encoders.text.require_vocabulary()
        if not (lost := sorted({word for caption in captions for word in known.unknown(caption)})):
            return
        note += f"; {len(lost)} words that its vocabulary lacks are passed over: {', '.join(lost[:8])}"
    tqdm.write(note)


def is_complete(saved: checkpoint.State, config: Config) -> bool:
    """Whether a finished run is as long as ``config`` asks."""
    as_long = all(saved["config"].get(name) == getattr(config, name) for name in ("steps", "epochs"))
    return saved["finished"] and (saved["step"] >= config.steps > 0 or as_long)


def as_long(config: Config, saved: checkpoint.State) -> Config:
    """``config`` with the length of a finished run, which may have been asked to be shorter."""
    return replace(config, **{name: saved["config"][name] for name in ("steps", "epochs")})


def basis(config: Config, given: dict[str, Run], train: Callable[[Config], Run]) -> Basis:
    """What ``config`` builds on (:func:`t2i.config.needs`): the runs that are ``given`` by role, "encoder" or "stage1",
    or lie in the folders that it names ("released:NAME" for a model that comes with the course), or belong to the same
    data, profile and seed, which ``train`` loads or trains. A GAN lends the encoders it was trained with. Raises
    :class:`UserError` for a run of another kind."""
    runs, needs = {}, configs.needs(config)
    for role in given:
        if role not in needs:
            problem = f"{config.name} builds on no {role}"
            raise UserError(problem, f"Give it {' and '.join(needs) or 'nothing'}.")
    for role, wanted in needs.items():
        if role in given:
            runs[role] = given[role]
        elif isinstance(wanted, Path):
            runs[role] = released.run(wanted)
        else:
            if role == "stage1":
                configs.following(config, wanted)  # refuse before it is trained, not after
            runs[role] = _trained(wanted, config, train)
        if role == "encoder":
            _check_encoder(config, runs[role])
    if getattr(config, "text_encoder", None) == configs.PUBLISHED_EMBEDDINGS:
        return Basis(PublishedEncoders(data.load(config)))
    reader = runs.get("stage1") or runs.get("encoder")
    return Basis(reader and reader.encoders, runs.get("stage1"))


def kept(run: Run) -> Basis:
    """What a run that goes on builds on: its checkpoint holds its encoders, and Stage-I inside its generator."""
    return Basis() if run.is_encoder else Basis(run.encoders)


def _check_encoder(config: configs.GanConfig, run: Run) -> None:
    if run.is_encoder:
        kind, what = run.config.kind, f"is a run of {run.config.model}"
    else:
        kept = run.encoders
        kind = "published embeddings" if isinstance(kept, PublishedEncoders) else kept.config.kind
        what = f"is a run of {run.config.model}, which reads with {kind}"
    if kind != config.reads:
        problem = f"{run.directory} {what}, and {config.model} reads with {config.reads}"
        raise UserError(problem, f"Name the folder of a {config.reads} run.")


def _trained(wanted: Config, config: Config, train: Callable[[Config], Run]) -> Run:
    """The run of ``wanted``, which ``config`` builds on; one that is there is taken in whatever precision it has."""
    there = (wanted.directory / "checkpoint.pt").exists()
    if not there:
        tqdm.write(f"{config.name} builds on {wanted.name}, which is trained first")
    return train(replace(wanted, precision="auto") if there else wanted)
