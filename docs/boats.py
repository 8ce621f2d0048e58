"""Draws sailing boats with captions, to try your own pictures with: ``python docs/boats.py FOLDER [HOW_MANY]``."""

import csv
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIDE, FINE = 128, 4  # pixels; drawn so many times as large, then shrunk
COLORS = {
    "red": (200, 40, 40), "blue": (40, 70, 190), "green": (40, 140, 60), "yellow": (240, 205, 50),
    "white": (245, 245, 240), "black": (35, 35, 40), "brown": (120, 75, 40), "orange": (240, 140, 40),
}  # fmt: skip
SKIES = {
    "by day": ((150, 200, 240), (60, 110, 170)),
    "at sunset": ((245, 170, 120), (90, 80, 130)),
    "at night": ((25, 30, 65), (15, 40, 80)),
}
CAPTIONS = (
    "{hull} boat with {count} {sail} {sails} {sky}",
    "{sky}, {hull} boat under {count} {sail} {sails}{flagged}",
    "this boat has {hull} hull, {count} {sail} {sails}{flagged}",
)


def shade(color: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    """``color`` a little lighter or darker."""
    return tuple(max(0, min(255, value + rng.randint(-14, 14))) for value in color)


def draw(boat: dict, rng: random.Random) -> Image.Image:
    """A boat from the side, its bow left or right, on a sea with waves."""
    image = Image.new("RGB", (SIDE, SIDE), shade(SKIES[boat["sky"]][0], rng))
    image = image.resize((SIDE * FINE, SIDE * FINE))
    brush, water = ImageDraw.Draw(image), shade(SKIES[boat["sky"]][1], rng)
    scale, x, y = rng.uniform(0.8, 1.1), SIDE / 2 + rng.uniform(-8, 8), rng.uniform(84, 94)
    facing = rng.choice((-1, 1))

    def shape(color: tuple[int, ...], *points: tuple[float, float]) -> None:
        brush.polygon([((x + facing * a * scale) * FINE, (y + b * scale) * FINE) for a, b in points], color)

    brush.rectangle((0, y * FINE, SIDE * FINE, SIDE * FINE), water)
    hull, sail = shade(COLORS[boat["hull"]], rng), shade(COLORS[boat["sail"]], rng)
    shape((90, 60, 40), (-1, 0), (1, 0), (1, -68), (-1, -68))
    shape(sail, (3, -8), (3, -64), (34, -8))
    if boat["count"] == "two":
        shape(sail, (-3, -8), (-3, -54), (-28, -8))
    if boat["flag"]:
        shape(COLORS[boat["flag"]], (1, -68), (1, -78), (-14, -73))
    shape(hull, (-36, -4), (42, -6), (30, 12), (-28, 12))
    for _ in range(9):
        left, top = rng.uniform(0, SIDE), rng.uniform(y + 14, SIDE)
        brush.line([(left * FINE, top * FINE), ((left + 12) * FINE, top * FINE)], shade(water, rng), FINE)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main(folder: Path, images: int = 200) -> None:
    """Write boat_001.png … and captions.csv, three captions a boat."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file", "caption"))
        for number in range(1, images + 1):
            hull, sail = rng.choice(list(COLORS)), rng.choice(list(COLORS))
            boat = dict(hull=hull, sail=sail, sky=rng.choice(list(SKIES)), count=rng.choice(("one", "two")))
            boat["flag"] = rng.choice(("", "", "red", "yellow", "blue"))
            sails, flagged = ("sail", "sails")[boat["count"] == "two"], boat["flag"] and f" and a {boat['flag']} flag"
            words = boat | dict(hull=f"{'an' if hull == 'orange' else 'a'} {hull}", sails=sails, flagged=flagged)
            draw(boat, rng).save(folder / f"boat_{number:03}.png")
            for caption in CAPTIONS:
                rows.writerow((f"boat_{number:03}.png", caption.format(**words)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
