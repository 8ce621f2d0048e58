"""Aviary: a data set of drawn birds that needs no download, built like CUB-200-2011.

Forty invented species, 30 to learn from and 10 that no model sees in training; every image has a box and ten captions,
and, unlike CUB, the true attributes of its bird. The whole set follows from one seed.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from t2i import paths
from t2i.data import aviary_captions
from t2i.data.aviary_drawing import COLOURS, draw
from t2i.errors import UserError

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
GENERA = ("Finch", "Warbler", "Thrush", "Tanager", "Wren", "Bunting", "Jay", "Lark", "Oriole", "Flycatcher")
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


def species(seed: int = 0) -> list[tuple[str, Attributes]]:
    """The 40 species as (name, typical bird): every body colour occurs in both splits, and no two share all colours."""
    rng = np.random.default_rng([seed, 2011])
    bodies = [*COLOUR_NAMES * 3, "brown", "gray", "yellow", *COLOUR_NAMES, "red"]
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


def individual(kind: Attributes, rng: np.random.Generator) -> Attributes:
    """One bird of the species ``kind``: mostly typical, sometimes not, in a pose and place of its own."""
    strays = {"body": 0.08, "belly": 0.25, "wing": 0.25, "crown": 0.25, "bill": 0.2, "wing_bars": 0.15,
              "bill_length": 0.2, "tail_length": 0.2, "size": 0.25, "pose": 1, "side": 1, "background": 1}  # fmt: skip
    changed = {
        name: VALUES[name][rng.integers(len(VALUES[name]))] for name, chance in strays.items() if rng.random() < chance
    }
    return replace(kind, **changed)


def birds(images_per_species: int = IMAGES_PER_SPECIES, seed: int = 0) -> Iterator[tuple[int, int, str, Attributes]]:
    """Every bird of the set as (species number from 1, number inside the species, species name, attributes)."""
    for number, (name, kind) in enumerate(species(seed), start=1):
        for k in range(images_per_species):
            yield number, k, name, individual(kind, np.random.default_rng([seed, number, k]))


def write(root: Path, size: int = 128, images_per_species: int = IMAGES_PER_SPECIES, seed: int = 0) -> None:
    """Draw the whole set into ``root`` in the CUB layout, with ``aviary.json`` and ``attributes.jsonl`` beside it.

    ``size`` is the side of the square pictures in pixels (16 to 256). ``aviary.json`` is written last, so a set that
    was interrupted is drawn again. Raises :class:`UserError` where ``root`` holds something else.
    """
    if not 16 <= size <= 256:
        raise UserError(f"Aviary cannot be drawn at {size} px", "Choose a size from 16 to 256.")
    root = Path(root)
    if root.is_dir() and any(root.iterdir()) and not (root / "attributes.jsonl").exists():
        raise UserError(f"{root} is not empty and holds no Aviary", "Name an empty folder with --root.")
    root.mkdir(parents=True, exist_ok=True)
    truths = root / "attributes.jsonl"
    truths.touch()
    (root / "aviary.json").unlink(missing_ok=True)
    tables: dict[str, list[str]] = {
        name: [] for name in ("images", "bounding_boxes", "image_class_labels", "attributes", "train", "test")
    }
    everything = list(birds(images_per_species, seed))
    for number, (label, k, name, bird) in enumerate(tqdm(everything, desc="drawing birds", unit="bird"), start=1):
        key = f"{label:03d}.{name}/{name}_{k + 1:04d}"
        rng = np.random.default_rng([seed, label, k, 1])
        picture, box = draw(bird, size, rng)
        _save(picture, root / "CUB_200_2011" / "images" / f"{key}.png")
        captions = [aviary_captions.write(asdict(bird), rng) for _ in range(CAPTIONS_PER_IMAGE)]
        text = root / "text" / f"{key}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("\n".join(captions) + "\n", encoding="utf-8")
        tables["images"].append(f"{number} {key}.png")
        tables["bounding_boxes"].append(f"{number} {' '.join(str(v) for v in box)}")
        tables["image_class_labels"].append(f"{number} {label}")
        tables["attributes"].append(json.dumps({"key": key, **asdict(bird)}))
        tables["train" if label <= TRAIN_SPECIES else "test"].append(key)
    tables["classes"] = [f"{i} {i:03d}.{name}" for i, (name, _) in enumerate(species(seed), start=1)]
    for table in ("images", "bounding_boxes", "image_class_labels", "classes"):
        _lines(root / "CUB_200_2011" / f"{table}.txt", tables[table])
    for split in ("train", "test"):
        _lines(root / f"{split}_filenames.txt", tables[split])
    _lines(truths, tables["attributes"])
    paths.write_json(
        root / "aviary.json", {"version": VERSION, "seed": seed, "size": size, "images_per_species": images_per_species}
    )


def folder(image_size: int) -> str:
    """The name of the default folder for images of ``image_size`` px: birds are drawn at 128 px, or in another folder
    at 256 px (the same species, and more birds) where more than 64 px are asked for."""
    return "aviary-256" if image_size > 64 else "aviary"


def ensure(root: Path) -> None:
    """Draw the set into ``root`` unless it is there already; a folder named ``…-256`` gets 256 px pictures."""
    root = Path(root)
    stamp = root / "aviary.json"
    if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")).get("version") == VERSION:
        return
    large = root.name.endswith("-256")
    write(root, size=256 if large else 128, images_per_species=150 if large else IMAGES_PER_SPECIES)


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
