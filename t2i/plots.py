"""Pictures of pictures: sheets of samples and the curves of a run.

Importing this changes nothing of matplotlib and does not load it; each figure has the course's style for itself.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from t2i.data.images import save_sheet, sheet, sheet_size

__all__ = ["alt", "captioned", "curves", "describe", "light_png", "lit"]
__all__ += ["save_sheet", "sheet", "sheet_size", "with_palette", "word_maps"]

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure


# Lines are told apart without their hue too: each colour has a contrast of 3 or more to white, stays apart from the
# others for every kind of colour blindness (tests/unit/test_plots.py), and has a style of its own.
COLOURS = "#0072B2", "#D55E00", "#1A1A1A", "#8000E0", "#C08080"
LINES = "-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1))


def use_style() -> None:
    """Give all further figures of this process the course's style; lessons do, in their banner."""
    import seaborn as sns
    from cycler import cycler

    rc = {"figure.dpi": 80, "axes.titlesize": 11, "axes.prop_cycle": cycler(color=COLOURS, linestyle=LINES)}
    sns.set_theme(style="whitegrid", context="notebook", rc=rc, color_codes=False)  # those would outlive style()


@contextmanager
def style() -> Iterator[None]:
    """Inside, figures have the course's style; afterwards matplotlib's settings are what they were."""
    import matplotlib

    with matplotlib.rc_context():
        use_style()
        yield


@contextmanager
def canvas(rows: int, columns: int, width: float, height: float, **options) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of so many inches and its axes (rows, columns), to be filled inside. It is pyplot's, which is how a
    notebook learns to show figures, and closed, for what a cell returns would be shown twice."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
        try:
            yield figure, axes
        finally:
            plt.close(figure)


def describe(figure: Figure, text: str) -> Figure:
    """Give a figure the description that pages show, and read out, in place of it."""
    figure.set_label(text)
    return figure


def alt(figure: Figure) -> str:
    """What :func:`describe` said of a figure or, where it said nothing, the titles and axes that can be read in it."""
    if figure.get_label():
        return str(figure.get_label())
    parts = []
    for axis in figure.axes:
        lines = axis.get_legend_handles_labels()[1]
        named = [
            axis.get_title(),
            axis.get_ylabel(),
            axis.get_xlabel() and f"over {axis.get_xlabel()}",
            ", ".join(lines),
        ]
        parts += [" ".join(" ".join(filter(None, named)).split())]
    said = list(filter(None, dict.fromkeys(parts)))
    pictures = sum(len(axis.images) for axis in figure.axes)
    return "; ".join(["Figure", *said] if said or not pictures else [f"{pictures} pictures without a description"])


def captioned(images: Tensor, captions: Sequence[str], side: float = 1.0) -> Figure:
    """One row of pictures per caption, the caption at its left; images (len(captions) * n, 3, s, s) uint8,
    ``side`` inches each."""
    rows, columns = len(captions), len(images) // len(captions)
    with canvas(rows, columns, columns * side + 3.2, rows * side) as (figure, axes):
        for k, axis in enumerate(axes.flat):
            axis.imshow(images[k].permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, caption in zip(axes[:, 0], captions, strict=True):
            axis.set_ylabel(textwrap.fill(caption, 34), rotation=0, ha="right", va="center", fontsize=9)
        figure.subplots_adjust(left=3.1 / (columns * side + 3.2), right=1, top=1, bottom=0, wspace=0.04, hspace=0.04)
    return describe(figure, f"Rows of {columns} pictures: {'; '.join(captions)}")


def light_png(figure: Figure, dpi: int) -> bytes:
    """A figure as a PNG of 256 colors."""
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=dpi)
    return with_palette(Image.open(made))


def with_palette(image: Image.Image) -> bytes:
    """A picture as a PNG of 256 colors: a third of the bytes where there are photographs in it, or noise."""
    made = io.BytesIO()
    few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(made, "PNG", optimize=True)
    return made.getvalue()


def curves(log: pd.DataFrame, panels: dict[str, Sequence[str]]) -> Figure:
    """Columns of a run's ``stats.jsonl`` over steps, one panel per title."""
    with canvas(1, len(panels), 4.6 * len(panels), 3, layout="constrained") as (figure, axes):
        for axis, (title, columns) in zip(axes[0], panels.items(), strict=True):
            for column in columns:
                axis.plot(log["step"], log[column], label=column)
            axis.set(title=title, xlabel="step")
            axis.legend(frameon=False, handlelength=3.2)  # long enough to tell the lines' styles apart
    ends = [f"{column} from {log[column].iloc[0]:.3g} to {log[column].iloc[-1]:.3g}" for column in _shown(log, panels)]
    return describe(figure, f"Curves over {log['step'].iloc[-1]:,} steps: {'; '.join(ends)}")


def _shown(log: pd.DataFrame, panels: dict[str, Sequence[str]]) -> list[str]:
    return [column for columns in panels.values() for column in columns if column in log]


def lit(image: Tensor, maps: Tensor) -> Tensor:
    """The picture (3, s, s) uint8 under each map of ``maps`` (T, h, w): (T, 3, s, s) uint8, nearly black for the map's
    own least value and the plain picture for its greatest."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    scaled = ((maps - low) / (high - low).clamp(min=1e-12))[:, None].float()
    light = F.interpolate(scaled, image.shape[1:], mode="bilinear")
    return (image * (0.12 + 0.88 * light)).round().byte()


def word_maps(image: Tensor, words: Sequence[str], maps: Tensor, columns: int = 7, side: float = 1.3) -> Figure:
    """Where each word looks: the picture (3, s, s) uint8, then once per word under its map of ``maps`` (T, h, w).

    Each map has a scale of its own (:func:`lit`).
    """
    shown = [image, *lit(image, maps)]
    rows = -(-(len(words) + 1) // columns)
    with canvas(rows, columns, columns * side, rows * (side + 0.25)) as (figure, axes):
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, one, title in zip(axes.flat, shown, ["", *words], strict=False):
            axis.imshow(one.permute(1, 2, 0).numpy())
            axis.set_title(title, fontsize=9, pad=3)
        figure.subplots_adjust(left=0, right=1, top=0.9, bottom=0, wspace=0.04, hspace=0.3)
    return describe(figure, f"A picture, and where in it each word was looked up: {' '.join(words)}")
