"""Records: one JSON file for each evaluated run, with everything that its figures depend on."""

import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from t2i import paths
from t2i.config import Config
from t2i.config.settings import fingerprint
from t2i.errors import UserError, refused
from t2i.metrics.protocols import PROTOCOLS, Protocol
from t2i.provenance import commit, hardware

if TYPE_CHECKING:
    from t2i.training.run import Run

NAME = "result.json"

SEEDS = ("seed",)  # the one setting in which the runs of a mean may differ
NEW = {"origin", "data", "preparation", "finished", "settings", "protocols"}  # what older records lack
# What read() insists on; further fields are kept as they are.
FIELDS = {
    "model": str,
    "dataset": str,
    "profile": str,
    "seed": int,
    "image_size": int,
    "protocol": str,
    "metrics": dict,
    "generated_count": int | None,
    "real_count": int | None,
    "date": str,
    "commit": str,
    "fingerprint": str,
}


def make(
    config: Config,
    metrics: dict,
    protocol: Protocol | str,
    protocols: dict[str, str] | None = None,
    *,
    steps: int | None = None,
    train_seconds: float | None = None,
    eval_seconds: float | None = None,
    extra: dict | None = None,
    data: str = "",
    origin: str = "own",
    finished: bool | None = None,
) -> dict:
    """What there is to know about one evaluation, ready for :func:`write`.

    ``metrics`` maps names to numbers, tensors of one element, or None; a number that is not finite becomes None. Its
    ``generated_count`` and ``real_count`` become fields of the record. ``protocol`` is how pictures were compared, or a
    name outside the registry, such as "zero-shot"; ``protocols`` names that of each metric. The run was trained for
    ``steps`` steps in ``train_seconds`` (None: not known); the evaluation itself took ``eval_seconds``. ``extra`` is
    anything else that JSON can hold, ``data`` the digest of the data set, ``origin`` what :func:`origin` says, and
    ``finished`` tells whether the training reached its end (None: not known).
    """
    settings = protocol if isinstance(protocol, Protocol) else PROTOCOLS.get(protocol)
    numbers = {name: _number(value) for name, value in metrics.items()}
    counts = {name: numbers.pop(name, None) for name in ("generated_count", "real_count")}
    return {
        "model": config.model,
        "origin": origin,
        "dataset": config.data_name,
        "data": data,
        "preparation": preparation(config.to_dict()),
        "profile": config.profile,
        "seed": config.seed,
        "image_size": config.image_size,
        "steps": steps,
        "finished": finished,
        "protocol": settings.name if settings else protocol,
        "protocol_settings": dataclasses.asdict(settings) if settings else None,
        "protocols": protocols or {},
        "metrics": numbers,
        **counts,
        "train_seconds": train_seconds,
        "eval_seconds": eval_seconds,
        "hardware": hardware(config.device),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": config.fingerprint(),
        "settings": fingerprint(config.to_dict(), without=SEEDS),
        "extra": extra or {},
    }


def origin(run: "Run") -> str:
    """Where the weights of ``run`` come from: "released" with the course, "imported" from another project, which took
    no step here, or "own"."""
    if run.is_released:
        return "released"
    return "imported" if run.state.get("finished") and not run.state["step"] else "own"


def preparation(settings: dict) -> str:
    """How the real pictures were cut and scaled, as a config's dictionary says; empty where it does not."""
    return ", ".join(settings[name] for name in ("crop", "resize") if name in settings)


def judged(name: str, run: "Run") -> str:
    """The name of a protocol by which the encoders of ``run`` judge, with the digest that tells them from others."""
    return f"{name}-{run.encoders.config.model}-{run.encoders.digest}" if run.encoders.digest else name


def write(directory: Path | str, record: dict, name: str = NAME) -> Path:
    """Write ``record`` to ``directory``; a second protocol goes under another name of the form ``result*.json``."""
    path = Path(directory) / name
    paths.write_json(path, record)
    return path


def check_copy(path: Path) -> None:
    """:class:`UserError` unless a record can be written to ``path`` and nothing is lost: its suffix must not promise
    another format, and what is there must be a record."""
    if path.suffix.lower() not in ("", ".json"):
        raise UserError(f"{path} ends in {path.suffix}, and a record is JSON", "Name a file that ends in .json.")
    if path.is_dir():
        raise UserError(f"{path} is a folder", "Name a file.")
    if path.is_file():
        try:
            read(path)
        except UserError as error:
            problem = f"{path} is there, and holds no record of an evaluation"
            raise UserError(problem, "Name another file, or move that one away.") from error


def read(path: Path | str) -> dict:
    """The record at ``path``; raises :class:`UserError` where it is missing, broken, or no record."""
    path = Path(path)
    mend = f"Delete it and evaluate again: python -m t2i evaluate --run {path.parent}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", f"Make it with python -m t2i evaluate --run {path.parent}") from error
    except OSError as error:
        raise refused(error) or error from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON ({error})", mend) from error
    wrong = [name for name, kind in FIELDS.items() if not isinstance(value, dict) or not _is(value, name, kind)]
    wrong += [f"metrics.{n}" for n, v in (value["metrics"].items() if not wrong else ()) if not _is_figure(v)]
    if wrong:
        raise UserError(f"{path} is not a result: {', '.join(wrong)} missing or of the wrong kind", mend)
    if "seconds" in value:  # its name before there were seconds of training too
        value["eval_seconds"] = value.pop("seconds")
    return _completed(value, path.parent / "config.json")


def _completed(record: dict, file: Path) -> dict:
    """An older ``record`` with what it lacks, as far as the settings in ``file`` beside it tell.

    Digests of data and judges were never written down, and stay unknown. Without settings the fingerprint stands for
    them, so that such a run is averaged with no other.
    """
    if record.keys() >= NEW:
        return record
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    same = isinstance(found, dict) and all(found.get(name) == record[name] for name in ("model", "profile", "seed"))
    settings = found if same else {}
    steps = record.get("steps")
    asked = settings.get("steps") or None
    known = {
        "origin": "imported" if steps == 0 else "own",
        "data": "",
        "preparation": preparation(settings),
        "finished": None if steps is None or asked is None else steps >= asked,
        "settings": fingerprint(settings, without=SEEDS) if settings else record["fingerprint"],
        "protocols": {},
    }
    return record | {name: value for name, value in known.items() if name not in record}


def earlier(path: Path, run: "Run") -> dict | None:
    """The record at ``path`` that further figures of ``run`` may join; None where there is none.

    Raises :class:`UserError` where it tells of another state of the run, of another commit or of other hardware: one
    record says these once, for all its figures.
    """
    if not path.is_file():
        return None
    record = read(path)
    now = {
        "steps": run.state["step"],
        "fingerprint": run.config.fingerprint(),
        "commit": commit(),
        "hardware": hardware(run.config.device),
    }
    if other := [
        f"{name} {record.get(name)} there and {value} now" for name, value in now.items() if record.get(name) != value
    ]:
        mend = "Measure all again, without naming metrics, or leave the folder alone with write=False."
        raise UserError(f"{path} holds figures that these cannot join ({', '.join(other)})", mend)
    return record


def merged(before: dict | None, record: dict) -> dict:
    """``record`` with the figures of ``before`` that it has not measured anew; the seconds of both together."""
    if before is None:
        return record
    joined = {name: before.get(name, {}) | record[name] for name in ("protocols", "metrics", "extra")}
    counts = {
        name: record[name] if record[name] is not None else before[name] for name in ("generated_count", "real_count")
    }
    seconds = round(record["eval_seconds"] + (before.get("eval_seconds") or 0), 1)
    return record | joined | counts | {"eval_seconds": seconds}


def _is(value: dict, name: str, kind) -> bool:
    return name in value and isinstance(value[name], kind) and not isinstance(value[name], bool)


def _is_figure(value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value) -> int | float | None:
    value = value.item() if hasattr(value, "item") else value
    return value if value is not None and math.isfinite(value) else None
