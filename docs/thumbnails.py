"""The small picture of each lesson in README.md, ``python docs/thumbnails.py``: cut from the committed sheets of
released models and recorded runs, and from outputs of notebooks."""

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image

from t2i import paths

CHECKOUT = paths.checkout()
FOLDER = CHECKOUT / "docs" / "thumbnails"
SIZE, COLORS = (168, 112), 160  # at most 12 KB each
RELEASED, RECORDED = "data/released/{}/sheet.png", "data/results/{}/sheet.png"
# Of each lesson: a file, or a notebook and the cell whose first picture is meant; and the part of it that is shown, as
# left, upper, right and lower edge in shares of its sides.
SOURCES: dict[str, tuple[str, str, tuple[float, float, float, float]]] = {
    "00": (RELEASED.format("attngan-aviary"), "", (0.278, 0, 0.549, 1 / 3)),
    "01": ("notebooks/01_datasets.ipynb", "c11", (0, 0, 0.6, 1)),
    "02": ("notebooks/02_char_cnn_rnn.ipynb", "c51", (0, 0.12, 1, 1)),
    "03": ("notebooks/03_damsm.ipynb", "c52", (0, 0, 0.57, 1)),
    "04": (RECORDED.format("gan-cls-aviary-200-night-s0"), "", (0, 1 / 6, 3 / 8, 1 / 2)),
    "05": (RELEASED.format("stackgan-stage2-aviary"), "", (0.278, 1 / 3, 0.549, 2 / 3)),
    "06": ("notebooks/06_attngan.ipynb", "c53", (0, 0, 0.565, 1)),
    "07": (RELEASED.format("dm-gan-aviary"), "", (0.278, 1 / 2, 0.549, 5 / 6)),
    "08": (RELEASED.format("dmattn-gan-aviary"), "", (0.278, 1 / 3, 0.549, 2 / 3)),
    "09": (RELEASED.format("msmt-gan-aviary"), "", (0.278, 1 / 2, 0.549, 5 / 6)),
    "10": ("notebooks/10_leaderboard.ipynb", "c42", (0, 0, 0.5, 1)),
}


def source(file: str, cell: str) -> Image.Image:
    """The picture in ``file``, of a notebook the first one under the cell with this id."""
    path = CHECKOUT / file
    if not cell:
        return Image.open(path).convert("RGB")
    (found,) = (each for each in nbformat.read(path, as_version=4).cells if each["id"] == cell)
    shown = [output.get("data", {}) for output in found.outputs]
    encoded = next(data[kind] for data in shown for kind in ("image/png", "image/jpeg") if kind in data)
    return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")


def thumbnail(lesson: str) -> Image.Image:
    """The part of the lesson's picture that is shown, in the middle of ``SIZE`` pixels of white."""
    file, cell, part = SOURCES[lesson]
    whole = source(file, cell)
    cut = whole.crop(tuple(round(share * whole.size[number % 2]) for number, share in enumerate(part)))
    scale = min(SIZE[0] / cut.width, SIZE[1] / cut.height)
    small = cut.resize((round(cut.width * scale), round(cut.height * scale)), Image.Resampling.LANCZOS)
    page = Image.new("RGB", SIZE, "white")
    page.paste(small, ((SIZE[0] - small.width) // 2, (SIZE[1] - small.height) // 2))
    return page.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=4)


def write(folder: Path = FOLDER) -> None:
    """All of them, as PNG files named by the number of the lesson."""
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in SOURCES:
        thumbnail(lesson).save(folder / f"{lesson}.png", optimize=True)


if __name__ == "__main__":
    write()
