"""Pictures of pictures: sheets of samples and the curves of a run."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from t2i.data.images import save_sheet, sheet

__all__ = ["captioned", "curves", "save_sheet", "sheet", "word_maps"]

sns.set_theme(style="whitegrid", context="notebook", rc={"figure.dpi": 80, "axes.titlesize": 11})


def captioned(images: Tensor, captions: Sequence[str], side: float = 1.0) -> Figure:
    """One row of pictures per caption, the caption at its left; images (len(captions) * n, 3, s, s) uint8."""
    rows, columns = len(captions), len(images) // len(captions)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * side + 3.2, rows * side), squeeze=False)
    for k, axis in enumerate(axes.flat):
        axis.imshow(images[k].permute(1, 2, 0), interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, caption in zip(axes[:, 0], captions, strict=True):
        axis.set_ylabel(textwrap.fill(caption, 34), rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(left=3.1 / (columns * side + 3.2), right=1, top=1, bottom=0, wspace=0.04, hspace=0.04)
    plt.close(figure)  # a notebook shows the figure that a cell returns; leaving it open would show it twice
    return figure


def curves(log: pd.DataFrame, panels: dict[str, Sequence[str]]) -> Figure:
    """Columns of a run's ``stats.jsonl`` over steps, one panel per title."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3), squeeze=False, layout="constrained")
    for axis, (title, columns) in zip(axes[0], panels.items(), strict=True):
        for column in columns:
            axis.plot(log["step"], log[column], label=column)
        axis.set(title=title, xlabel="step")
        axis.legend(frameon=False)
    plt.close(figure)
    return figure


def word_maps(image: Tensor, words: Sequence[str], maps: Tensor, columns: int = 7, side: float = 1.3) -> Figure:
    """Where each word looks: the picture (3, s, s) uint8, then once per word under its map of ``maps`` (T, h, w).

    Each map has a scale of its own, nearly black for its least value and the plain picture for its greatest.
    """
    rows = -(-(len(words) + 1) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * (side + 0.25)), squeeze=False)
    picture = image.permute(1, 2, 0).float() / 255
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    light = F.interpolate(
        ((maps - low) / (high - low).clamp(min=1e-12))[:, None].float(), picture.shape[:2], mode="bilinear"
    )
    shown = [picture, *(picture * (0.12 + 0.88 * one[0])[..., None] for one in light)]
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, one, title in zip(axes.flat, shown, ["", *words], strict=False):
        axis.imshow(one.numpy())
        axis.set_title(title, fontsize=9, pad=3)
    figure.subplots_adjust(left=0, right=1, top=0.9, bottom=0, wspace=0.04, hspace=0.3)
    plt.close(figure)
    return figure
