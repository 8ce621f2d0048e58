"""Aviary: a data set of drawn birds that needs no download, built like CUB-200-2011.

Forty invented species, 30 to learn from and 10 that no model sees in training, or with CUB's numbers: 150 and 50, among
them the forty with the same pictures. Every image has a box and ten captions, and, unlike CUB, the true attributes of
its bird. The whole set follows from one seed.
"""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from t2i import locks, paths
from t2i.data import aviary_captions
from t2i.data.aviary_drawing import COLOURS, draw
from t2i.errors import UserError
from t2i.progress import tqdm

COLOUR_NAMES = tuple(COLOURS)
SIZES, POSES, SIDES = ("small", "medium", "large"), ("perched", "standing", "flying"), ("left", "right")
LENGTH_NAMES = ("short", "medium", "long")
BACKGROUNDS = ("sky", "leaves", "water", "snow", "field")
BILL_COLOURS = ("black", "gray", "yellow", "orange", "red")
# What each attribute can be: the heads of AviaryNet and the columns of the attribute tables follow this order.
VALUES = {
    "body": COLOUR_NAMES,
    "belly": COLOUR_NAMES,
    "wing": COLOUR_NAMES,
    "crown": COLOUR_NAMES,
    "bill": BILL_COLOURS,
    "wing_bars": (False, True),
    "bill_length": LENGTH_NAMES,
    "tail_length": LENGTH_NAMES,
    "size": SIZES,
    "pose": POSES,
    "side": SIDES,
    "background": BACKGROUNDS,
}
TRAIN_SPECIES, TEST_SPECIES, IMAGES_PER_SPECIES, CAPTIONS_PER_IMAGE = 30, 10, 60, 10
SMALL = TRAIN_SPECIES + TEST_SPECIES  # species of "aviary"; those of "aviary-200" go on behind them
LARGE, LARGE_TRAIN = 200, 150
GENERA = ("Finch", "Warbler", "Thrush", "Tanager", "Wren", "Bunting", "Jay", "Lark", "Oriole", "Flycatcher")
_ENTRIES = {"CUB_200_2011", "text", "train_filenames.txt", "test_filenames.txt", "attributes.jsonl", "aviary.json"}
VERSION = 1  # changes with the drawing, the species or the grammar: AviaryNet's weights belong to one version


@dataclass(frozen=True)
class Attributes:
    """What can be said about one bird; the allowed values stand in ``VALUES``."""

    body: str
    belly: str
    wing: str
    crown: str
    bill: str
    wing_bars: bool
    bill_length: str
    tail_length: str
    size: str
    pose: str = "perched"
    side: str = "left"
    background: str = "leaves"


def random_bird(rng: np.random.Generator) -> Attributes:
    """A bird of no species: every attribute drawn alone and uniformly (AviaryNet learns from these)."""
    return Attributes(**{name: values[rng.integers(len(values))] for name, values in VALUES.items()})


def species(seed: int = 0, count: int = SMALL) -> list[tuple[str, Attributes]]:
    """The first ``count`` species as (name, typical bird): every body colour occurs in both splits, and no two share
    all colours."""
    rng = np.random.default_rng([seed, 2011])
    bodies = [*COLOUR_NAMES * 3, "brown", "gray", "yellow", *COLOUR_NAMES, "red"]
    bodies = (bodies + [COLOUR_NAMES[k % len(COLOUR_NAMES)] for k in range(LARGE - SMALL)])[:count]
    found: list[tuple[str, Attributes]] = []
    for number, body in enumerate(bodies):
        while True:
            bird = random_bird(rng)
            same = rng.random(3) < (0.3, 0.3, 0.35)  # real birds repeat a colour more often than chance does
            parts = {part: body for part, repeat in zip(("belly", "wing", "crown"), same, strict=True) if repeat}
            bird = replace(bird, body=body, **parts)
            name = f"{bird.crown.title()}_crowned_{bird.wing.title()}_winged_{GENERA[number % len(GENERA)]}"
            colours = (bird.body, bird.belly, bird.wing, bird.crown)
            if all(colours != (b.body, b.belly, b.wing, b.crown) and name != n for n, b in found):
                break
        found.append((name, bird))
    return found


def split(number: int) -> str:
    """``"train"`` or ``"test"`` for a species, by its number from 1: the same in both sets."""
    last = TRAIN_SPECIES if number <= SMALL else LARGE_TRAIN + TEST_SPECIES
    return "train" if number <= last else "test"


def individual(kind: Attributes, rng: np.random.Generator) -> Attributes:
    """One bird of the species ``kind``: mostly typical, sometimes not, in a pose and place of its own."""
    strays = {"body": 0.08, "belly": 0.25, "wing": 0.25, "crown": 0.25, "bill": 0.2, "wing_bars": 0.15,
              "bill_length": 0.2, "tail_length": 0.2, "size": 0.25, "pose": 1, "side": 1, "background": 1}  # fmt: skip
    changed = {
        name: VALUES[name][rng.integers(len(VALUES[name]))] for name, chance in strays.items() if rng.random() < chance
    }
    return replace(kind, **changed)


class Bird(NamedTuple):
    """One bird of the set: its species' number from 1 and name, its own number within the species, what it looks like.

    All that is drawn for it, and its captions, follow from the set's seed and these two numbers.
    """

    label: int
    k: int
    name: str
    attributes: Attributes

    @property
    def key(self) -> str:
        return f"{self.label:03d}.{self.name}/{self.name}_{self.k + 1:04d}"


def birds(images_per_species: int = IMAGES_PER_SPECIES, seed: int = 0, count: int = SMALL) -> Iterator[Bird]:
    """Every bird of the first ``count`` species, species by species."""
    for label, (name, kind) in enumerate(species(seed, count), start=1):
        for k in range(images_per_species):
            yield Bird(label, k, name, individual(kind, np.random.default_rng([seed, label, k])))


def write(
    root: Path,
    size: int = 128,
    images_per_species: int = IMAGES_PER_SPECIES,
    seed: int = 0,
    count: int = SMALL,
) -> None:
    """Draw the set of ``count`` species (40 or 200) into ``root`` in the CUB layout, with ``aviary.json`` and
    ``attributes.jsonl`` beside it.

    ``size`` is the side of the square pictures in pixels (16 to 256). ``aviary.json`` is written last, so a set that
    was interrupted is drawn again; one that is whole stays as it is, with all that was changed in it. Raises
    :class:`UserError` where ``root`` holds something else.
    """
    if not 16 <= size <= 256:
        raise UserError(f"Aviary cannot be drawn at {size} px", "Choose a size from 16 to 256.")
    root = Path(root)
    if not _may_be_drawn_into(root):
        raise UserError(f"{root} is not empty and holds no Aviary", "Name an empty folder with --root.")
    stamp = {"version": VERSION, "seed": seed, "size": size, "images_per_species": images_per_species, "species": count}
    if _stamp(root) == stamp:
        tqdm.write(f"{root} is drawn already; to draw it again, delete it first")
        return
    root.mkdir(parents=True, exist_ok=True)
    truths = root / "attributes.jsonl"
    truths.touch()
    (root / "aviary.json").unlink(missing_ok=True)
    everything = list(birds(images_per_species, seed, count))
    with _on_all_cores(len(everything)) as each:
        drawn = each(partial(_draw, root, size, seed), everything)
        boxes = list(tqdm(drawn, total=len(everything), desc="drawing birds", unit="bird"))
    numbered = list(enumerate(everything, start=1))
    tables = {
        "images": [f"{number} {bird.key}.png" for number, bird in numbered],
        "bounding_boxes": [f"{number} {' '.join(map(str, box))}" for number, box in enumerate(boxes, start=1)],
        "image_class_labels": [f"{number} {bird.label}" for number, bird in numbered],
        "classes": [f"{label} {label:03d}.{name}" for label, (name, _) in enumerate(species(seed, count), start=1)],
    }
    for name, lines in tables.items():
        _lines(root / "CUB_200_2011" / f"{name}.txt", lines)
    for part in ("train", "test"):
        _lines(root / f"{part}_filenames.txt", [bird.key for bird in everything if split(bird.label) == part])
    _lines(truths, [json.dumps({"key": bird.key, **asdict(bird.attributes)}) for bird in everything])
    paths.write_json(root / "aviary.json", stamp)


def _stamp(root: Path) -> dict:
    """What ``aviary.json`` says of the finished set at ``root``; nothing where there is none, or it is damaged."""
    try:
        found = json.loads((root / "aviary.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _may_be_drawn_into(root: Path) -> bool:
    """Whether nothing of anyone else can be lost at ``root``: it is absent or empty, or holds an Aviary, whole or
    begun."""
    there = {entry.name for entry in root.iterdir()} if root.is_dir() else {"a file"} if root.exists() else set()
    there = {name for name in there if not name.startswith(".")}  # half-written files of a stopped drawing
    if "attributes.jsonl" not in there:
        return not there
    try:
        with open(root / "attributes.jsonl", encoding="utf-8") as file:
            first = file.readline()
        return there <= _ENTRIES if not first else {"key", *VALUES} <= json.loads(first).keys()
    except (OSError, ValueError, AttributeError):
        return False


def _draw(root: Path, size: int, seed: int, bird: Bird) -> tuple[float, ...]:
    """Write the picture and the captions of ``bird``; returns its box."""
    rng = np.random.default_rng([seed, bird.label, bird.k, 1])
    picture, box = draw(bird.attributes, size, rng)
    _save(picture, root / "CUB_200_2011" / "images" / f"{bird.key}.png")
    captions = [aviary_captions.write(asdict(bird.attributes), rng) for _ in range(CAPTIONS_PER_IMAGE)]
    text = root / "text" / f"{bird.key}.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text("\n".join(captions) + "\n", encoding="utf-8")
    return box


@contextmanager
def _on_all_cores(birds: int) -> Iterator[Callable[[Callable, Sequence], Iterator]]:
    """A ``map`` that keeps the order and works on all cores.

    Drawing is mostly Python, which threads take turns at, so it takes processes. Only forked ones need no guard in the
    reader's script, and only on Linux is forking safe; elsewhere there are threads. A few birds are not worth either.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, birds // 200)
    if workers < 2:
        yield map
    elif sys.platform == "linux":
        deaf = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends them
        with multiprocessing.get_context("fork").Pool(workers, signal.signal, deaf) as pool:
            yield partial(pool.imap, chunksize=16)
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield pool.map


def folder(image_size: int, name: str = "aviary") -> str:
    """The name of the default folder of the set ``name`` for images of ``image_size`` px: birds are drawn at 128 px, or
    in another folder at 256 px (the same birds, and of the small set more) where more than 64 px are asked for."""
    return f"{name}-256" if image_size > 64 else name


def ensure(root: Path, count: int = SMALL) -> None:
    """Draw the set of ``count`` species into ``root`` unless it is there already; a folder named ``…-256`` gets 256 px
    pictures. :class:`UserError` where the other set is there."""
    root = Path(root)
    if _is_drawn(root, count):
        return
    large = root.name.endswith("-256")
    images = 150 if large and count == SMALL else IMAGES_PER_SPECIES
    with locks.turn(root.with_name(f".{root.name}.lock")):  # of several processes one draws
        if not _is_drawn(root, count):
            write(root, size=256 if large else 128, images_per_species=images, count=count)


def _is_drawn(root: Path, count: int) -> bool:
    """Whether the set of ``count`` species lies whole at ``root``; :class:`UserError` where the other one does."""
    there = _stamp(root)
    if there.get("version") != VERSION:
        return False
    if (found := there.get("species", SMALL)) != count:
        problem = f"{root} holds the Aviary of {found} species, not of {count}"
        raise UserError(problem, "Name another folder with --root.")
    return True


def true_attributes(root: Path) -> dict[str, Attributes]:
    """The attributes of every bird under ``root`` by image key."""
    file = Path(root) / "attributes.jsonl"
    if not file.is_file():
        raise UserError(
            f"{file} is missing",
            "Only Aviary has true attributes; draw it with: python -m t2i data prepare --dataset aviary",
        )
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {row.pop("key"): Attributes(**row) for row in rows}


def _save(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, compress_level=1)


def _lines(file: Path, lines: list[str]) -> None:
    paths.write_atomically(file, lambda temporary: temporary.write_text("\n".join(lines) + "\n", encoding="utf-8"))
