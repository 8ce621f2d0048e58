"""What is small of runs, finished or not, in a folder to take away: ``python benchmarks/keep_runs.py RUNS OUT``.

Of every run its settings, its log, its last sheet, and as float16 safetensors the weights that were learned in it:
``generator.*`` (averaged), or ``encoder.*`` and ``image.*``. What a GAN builds on is a run of its own and is not
repeated. Records of measured runs in OUT are gathered in ``summary.json``.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from t2i import checkpoint, paths
from t2i.errors import UserError

ORDER = ("damsm", "attngan", "dm-gan", "msmt-gan")  # whose weights go first where not all fit; then the others
WEIGHTS = "weights.safetensors"


def weights(state: checkpoint.State) -> dict[str, torch.Tensor]:
    """The learned weights of a checkpoint, floating ones as float16, under flat names."""
    parts = {"generator": state["average"]} if state["average"] else state["networks"]
    flat = {f"{part}.{name}": tensor for part, kept in parts.items() for name, tensor in kept.items()}
    return {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in flat.items()}


def keep(run: Path, folder: Path) -> int:
    """Bring ``folder`` up to date with ``run``, but for its weights; returns the bytes that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "stats.jsonl", "train.log"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    if sheets := sorted((run / "samples").glob("*.png")):
        shutil.copyfile(sheets[-1], folder / "samples.png")
    return size(folder)


def keep_weights(run: Path, folder: Path, room: int) -> str | None:
    """The weights of the run's last checkpoint, unless they are there already; what is wrong, where something is."""
    source, file = run / "checkpoint.pt", folder / WEIGHTS
    if file.is_file() and file.stat().st_mtime >= source.stat().st_mtime:
        return None
    moment = source.stat().st_mtime
    try:
        state = checkpoint.read(source, optimizers=False)
    except UserError as error:
        return str(error)
    kept = weights(state)
    if (needed := sum(tensor.nbytes for tensor in kept.values())) > room:
        return f"its weights, {needed / 1e6:.1f} MB, do not fit any more"
    about = {"step": str(state["step"]), "config": json.dumps(state["config"]), "extras": json.dumps(words(state))}
    paths.write_atomically(file, lambda temporary: save_file(kept, temporary, about))
    os.utime(file, (moment, moment))
    return None


def words(state: checkpoint.State) -> dict:
    """What an encoder needs besides its weights, and a GAN has in its encoder's run."""
    return {name: value for name, value in state["extras"].items() if name == "vocabulary"}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def summary(out: Path) -> dict:
    """Of each record in ``out`` what a table would show."""
    fields = ("steps", "train_seconds", "protocol", "metrics", "hardware", "commit")
    records = {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in out.glob("*/result.json")}
    return {name: {field: record.get(field) for field in fields} for name, record in sorted(records.items())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=60, help="that OUT may hold")
    given = parser.parse_args()
    rank = {model: number for number, model in enumerate(ORDER)}
    runs = [file.parent for file in given.runs.glob("*/checkpoint.pt")]
    runs.sort(key=lambda run: next((rank[m] for m in ORDER if run.name.startswith(f"{m}-")), len(rank)))
    for run in runs:
        keep(run, given.out / run.name)
    for run in runs:
        there = given.out / run.name / WEIGHTS
        room = int(given.megabytes * 1e6) - size(given.out) + (there.stat().st_size if there.exists() else 0)
        if wrong := keep_weights(run, given.out / run.name, room):
            print(f"{run.name}: {wrong}", file=sys.stderr)
    paths.write_json(given.out / "summary.json", summary(given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
