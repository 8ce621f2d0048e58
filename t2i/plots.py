"""Pictures of pictures: sheets of samples and the curves of a run.

Importing this changes nothing of matplotlib and does not load it; each figure has the course's style for itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from t2i.data.images import save_sheet, sheet, sheet_size

__all__ = ["captioned", "curves", "save_sheet", "sheet", "sheet_size", "word_maps"]

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure


def use_style() -> None:
    """Give all further figures of this process the course's style; lessons do, in their banner."""
    import seaborn as sns

    rc = {"figure.dpi": 80, "axes.titlesize": 11}
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
    return figure


def curves(log: pd.DataFrame, panels: dict[str, Sequence[str]]) -> Figure:
    """Columns of a run's ``stats.jsonl`` over steps, one panel per title."""
    with canvas(1, len(panels), 4.6 * len(panels), 3, layout="constrained") as (figure, axes):
        for axis, (title, columns) in zip(axes[0], panels.items(), strict=True):
            for column in columns:
                axis.plot(log["step"], log[column], label=column)
            axis.set(title=title, xlabel="step")
            axis.legend(frameon=False)
    return figure


def word_maps(image: Tensor, words: Sequence[str], maps: Tensor, columns: int = 7, side: float = 1.3) -> Figure:
    """Where each word looks: the picture (3, s, s) uint8, then once per word under its map of ``maps`` (T, h, w).

    Each map has a scale of its own, nearly black for its least value and the plain picture for its greatest.
    """
    picture = image.permute(1, 2, 0).float() / 255
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    light = F.interpolate(
        ((maps - low) / (high - low).clamp(min=1e-12))[:, None].float(), picture.shape[:2], mode="bilinear"
    )
    shown = [picture, *(picture * (0.12 + 0.88 * one[0])[..., None] for one in light)]
    rows = -(-(len(words) + 1) // columns)
    with canvas(rows, columns, columns * side, rows * (side + 0.25)) as (figure, axes):
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, one, title in zip(axes.flat, shown, ["", *words], strict=False):
            axis.imshow(one.numpy())
            axis.set_title(title, fontsize=9, pad=3)
        figure.subplots_adjust(left=0, right=1, top=0.9, bottom=0, wspace=0.04, hspace=0.3)
    return figure
