"""The course's own trained models, which come with it in ``data/released``: what a lesson shows before anything is
trained, and what whoever has no hours to spare draws with.

A model is a folder: ``weights.safetensors`` (float16) and ``config.json``, from which it draws and is measured without
data, runs or a network, and ``result.json``, ``stats.jsonl``, ``sheet.png`` and ``README.md``, which say what it is. A
tensor that several models share, such as those of an encoder or of a frozen Stage-I, is kept once, by one of them.
"""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save

from t2i import config as configs
from t2i import own, paths, plots
from t2i.errors import UserError
from t2i.training.released import LENT, NAMES, PREFIX, WEIGHTS, beside, load, read, run, stored
from t2i.training.run import Run

__all__ = ["NAMES", "PREFIX", "WEIGHTS", "beside", "load", "read", "run"]  # and what is defined here
RECORD = "result.json"
LIMIT = 12  # MB that one model may take
SHARED = 4096  # numbers that a tensor must have to be kept once for several models
SHEET = 8  # pictures per caption
# What the species of a data set are called, what is drawn, and a caption to try.
_BIRDS = ("species", "birds", "a yellow bird with black wings and a red crown")
SUBJECTS = dict.fromkeys(configs.DRAWN, _BIRDS) | {"cub": _BIRDS}
SUBJECTS |= {"flowers": ("kinds", "flowers", "this flower has bright yellow petals around a brown center")}


def release(source: Run, name: str, root: Path | None = None) -> Path:
    """Make a released model of a trained GAN and return its folder, ``name`` in ``root`` (default: data/released).

    What a generator needs to draw and to be measured is kept, not what training needs to go on: no discriminators,
    which would take the place of two more models, and nothing that another released model has, bit by bit. The figures
    in its record are those of the float16 weights. A model that is released already may be the ``source``, to measure
    it anew. Raises :class:`UserError` for an encoder, an unfinished run, a weight beyond float16, more than 12 MB, and
    where the folder holds anything but an earlier release, or one that lends what the new one has not.
    """
    from t2i.metrics.evaluate import evaluate  # here, because drawing needs neither, and waits for both
    from t2i.notebook import captions_for

    if source.is_encoder:
        raise UserError(f"{source.directory} holds an encoder", "Release a GAN: its encoders come with it.")
    source.check_finished()
    folder = (root or paths.released()) / name
    own.check_whole(folder)
    weights = packed(source, name)
    if len(weights) > LIMIT * 1e6:
        problem = f"{name} takes {len(weights) / 1e6:.0f} MB, and {LIMIT} are allowed"
        raise UserError(problem, "Release a narrower model.")
    paths.write_atomically(folder / WEIGHTS, lambda temporary: temporary.write_bytes(weights))
    made = read(folder)
    # As a run, so that its data are checked.
    here = Run(replace(made.config, root=source.config.root), made.state, folder)
    record = evaluate(here, write=False)
    record |= {"train_seconds": source.state["seconds"], "origin": "released"}
    paths.write_json(folder / RECORD, record)
    paths.write_json(folder / "config.json", made.config.to_dict())
    log = source.directory / "stats.jsonl"
    paths.write_atomically(folder / log.name, lambda temporary: shutil.copyfile(log, temporary))
    captions = captions_for(made.config.data_name)
    sheet = plots.captioned(made.sample(list(captions), SHEET), captions)
    paths.write_atomically(folder / "sheet.png", lambda temporary: temporary.write_bytes(plots.light_png(sheet, 100)))
    card = _card(name, made, record)
    paths.write_atomically(folder / "README.md", lambda temporary: temporary.write_text(card, encoding="utf-8"))
    return folder


def packed(source: Run, name: str) -> bytes:
    """What :data:`WEIGHTS` of the model ``name`` holds: every tensor of the state under its path, but for those that
    another released model has, and as JSON the rest of it and where those are."""
    config = configs.without_places(source.config.to_dict())
    state = {part: value for part, value in source.state.items() if part not in ("networks", "optimizers")}
    state |= {"config": config, "networks": {"discriminators": {}}}
    encoders = state["extras"].get("text_encoder", {})
    if encoders.get("image") and not source.encoders.sees_images:  # Char-CNN-RNN's, which serves its training alone
        state["extras"] = state["extras"] | {"text_encoder": encoders | {"image": {}}}
    tensors: dict[str, torch.Tensor] = {}
    rest = _apart(state, (), tensors)
    for path, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path} is beyond the range of float16", "Release a run whose weights are smaller.")
    others = {other: stored(paths.released() / other) for other in NAMES if other != name}
    _check_lent(name, tensors, {other: state for other, (state, _) in others.items()})
    rest[LENT] = _take_shared(tensors, {other: theirs for other, (_, theirs) in others.items()})
    return save(tensors, {"state": json.dumps(rest, ensure_ascii=False)})


def _take_shared(tensors: dict, others: dict[str, dict]) -> dict[str, dict[str, str]]:
    """Take from ``tensors`` what ``others`` have as well, and say where it is: {model: {path here: path there}}."""
    kept = ((name, path, tensor) for name, theirs in others.items() for path, tensor in theirs.items())
    there = {_bits(tensor): (name, path) for name, path, tensor in kept if tensor.numel() >= SHARED}
    lent: dict[str, dict[str, str]] = {}
    for path in list(tensors):
        if found := there.get(_bits(tensors[path])):
            lender, place = found
            lent.setdefault(lender, {})[path] = place
            del tensors[path]
    return lent


def _check_lent(name: str, tensors: dict, others: dict[str, dict]) -> None:
    """:class:`UserError` where ``others`` read from ``name`` what ``tensors`` would change."""
    for other, state in others.items():
        paths_here = set(state.get(LENT, {}).get(name, {}).values())
        before = stored(paths.released() / name, paths_here)[1] if paths_here else {}
        if any(path not in tensors or _bits(tensors[path]) != _bits(kept) for path, kept in before.items()):
            problem = f"{other} reads weights from {name}, and this run has others"
            raise UserError(problem, "Choose another name.")


def _bits(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tensor.shape, hashlib.sha256(tensor.numpy().tobytes()).digest()


def _apart(value, path: tuple[str, ...], tensors: dict[str, torch.Tensor]):
    """``value`` without its tensors, which go to ``tensors`` under their paths, as JSON lists. Matrices and kernels are
    halved; vectors are few, and the variances among them may be large."""
    if isinstance(value, torch.Tensor):
        halved = value.is_floating_point() and value.ndim > 1
        tensors[json.dumps(path)] = (value.half() if halved else value).contiguous().clone()
        return None
    if isinstance(value, dict):
        kept = {name: _apart(part, (*path, name), tensors) for name, part in value.items()}
        return {name: part for name, part in kept.items() if not isinstance(value[name], torch.Tensor)}
    return value


def _alike(diversity: float, things: str) -> str:
    """How much the noise decides."""
    so = f"Eight pictures of one caption differ {diversity:.2f} times as much as real pictures of any {things} do"
    return f"{so}: its noise changes little." if diversity < 0.5 else f"{so}."


def _classes(metrics: dict) -> str:
    """How often the class of the caption is seen, and what that is worth."""
    names = ("class_consistency", "class_consistency_shuffled", "class_consistency_real")
    own, shuffled, real = (100 * metrics[name] for name in names)
    return (
        f"Pictures taken for their caption's class: {own:.1f} %; with captions shuffled {shuffled:.1f} %; of real"
        f" pictures {real:.1f} %."
    )


def _card(name: str, made: Run, record: dict) -> str:
    config, metrics = made.config, record["metrics"]
    parts = [part for part in ("body", "belly", "wing", "crown", "bill", "pose") if f"{part}_accuracy" in metrics]
    figures = ", ".join(f"{part} {metrics[f'{part}_accuracy']:.2f}" for part in parts)
    species, things, caption = SUBJECTS.get(config.data_name, ("classes", "pictures", "a caption"))
    passed = "words that its captions do not have are passed over, and"
    reads = (
        passed if made.reads_words else "it reads letters, so a word that its captions do not have tells it nothing;"
    )
    lines = [
        f"# {name}",
        "",
        f"{config.model} at {config.image_size} px, trained on {config.data_name} under the profile {config.profile}"
        f" with seed {config.seed}: {record['steps']:,} steps of {config.batch_size} pictures,"
        f" {record['train_seconds'] / 3600:.1f} hours. Measured on {record['hardware']['device']}, released at commit"
        f" {record['commit'][:12]}.",
        "",
        f"Measured on {record['real_count']:,} pictures of {species} that it never saw: FID"
        f" {metrics.get('fid', math.nan):.1f} ({record['protocol']}).",
        *([f"Named in the caption and seen in the picture: {figures}."] if figures else []),
        *([_classes(metrics)] if metrics.get("class_consistency") is not None else []),
        *([_alike(metrics["diversity"], things)] if metrics.get("diversity") is not None else []),
        "",
        f"It draws {things} like those that it learned from, and nothing else: {reads} what captions say about numbers,"
        " negations and comparisons is not read. The weights are float16; `python -m t2i release` made this folder.",
        "",
        f'    python -m t2i sample --run {PREFIX}{name} "{caption}"',
        "",
    ]  # fmt: skip
    return "\n".join(lines)
