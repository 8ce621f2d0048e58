"""Diagrams of models: boxes with names and tensor shapes, and arrows between them. Every lesson draws with this.

A diagram is a dict of boxes and a list of arrows, and :func:`draw` makes a figure of it::

    draw(
        {
            "noise": (0, 0, "noise $z$", "100", "data"),  # column, row, name, shape, kind
            "phi": (0, 1, "sentence $\\varphi(t)$", "1,024", "frozen"),
            "project": (1, 1, "linear, LeakyReLU", "128", "learned"),
            "join": (2, 0.5, "side by side", "228", "step"),
            "picture": (3, 0.5, "picture $x$", "3 × 64 × 64", "data"),
        },
        ["noise > join", "phi > project > join > picture"],
        groups={"generator": ["project", "join"]},
    )

The boxes stand in a grid: columns are whole numbers from the left, each as wide as its widest box; rows from the top
may be fractions (0.5 lies between the first and the second). A name may have several lines. What the kinds mean
stands in :data:`KINDS`, and a legend says it under the figure. Shapes are those of one example: the batch is left out.

Arrows are chains of keys: ``"a > b > c"``. Between two keys, ``>`` is what computes; ``~>`` is dashed, for what is read
without a gradient coming back; ``^>`` and ``v>`` go round what lies between, above or below it (a skip), and so do
``^~>`` and ``v~>``, dashed.
What follows a colon is written beside the arrow, of a chain beside its last one: ``"mu > judge: detached"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from t2i import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

KINDS = {  # kind: (color, what the legend says)
    "data": ("#ffffff", "data"),
    "learned": ("#f9dcc4", "learned here"),
    "frozen": ("#cfe3f5", "trained before, frozen"),
    "step": ("#ececec", "without weights"),
    "discriminator": ("#d5e8cf", "discriminator"),
    "loss": ("#f4c7c3", "loss"),
}
SIDES = {"^": 1.0, "v": -1.0}  # of an arrow that goes round
ARROW = re.compile(r"\s+([v^]?~?>)\s+")
BEND = 0.62  # inches that it keeps from the straight line, in its middle
NAME_SIZE, SHAPE_SIZE = 9.5, 8.5  # points
LINE, PADDING, GAP, PITCH = 0.165, 0.11, 0.42, 0.86  # inches: a line, around the text, between columns, between rows


def draw(
    boxes: Mapping[str, tuple[int, float, str, str, str]],
    arrows: Sequence[str],
    groups: Mapping[str, Sequence[str]] | None = None,
    gap: float = GAP,
    pitch: float = PITCH,
) -> Figure:
    """The diagram as a figure of its natural size; ``gap`` and ``pitch`` are inches between columns and rows, and
    ``groups`` are titles of frames with the keys of what stands in them. Raises ValueError for an arrow to a box that
    is not there, an unknown kind, and two boxes in one place."""
    _check(boxes)
    sizes = {key: _size(name, shape) for key, (_, _, name, shape, _) in boxes.items()}
    centers = _centers(boxes, sizes, gap, pitch)
    left = min(centers[key][0] - sizes[key][0] / 2 for key in boxes) - 0.25
    kinds = [kind for kind in KINDS if kind in {box[-1] for box in boxes.values()}]
    right = max(centers[key][0] + sizes[key][0] / 2 for key in boxes) + 0.25
    right = max(right, left + 0.35 + sum(map(_entry, kinds)))
    found = list(_arrows(arrows, boxes))
    rounds = [
        ((centers[a][1] + centers[b][1]) / 2 + SIDES[style[0]] * (BEND + 0.1), style[0])
        for a, style, b, _ in found
        if style[0] in SIDES
    ]
    low = min(*(centers[key][1] - sizes[key][1] / 2 for key in boxes), *(y for y, _ in rounds)) - 0.62
    high = max(*(centers[key][1] + sizes[key][1] / 2 for key in boxes), *(y for y, _ in rounds)) + 0.42
    with plots.canvas(1, 1, right - left, high - low, dpi=110) as (figure, axes):
        axis = axes[0, 0]
        axis.set_position((0, 0, 1, 1))
        axis.set(xlim=(left, right), ylim=(low, high))
        axis.set_axis_off()
        for title, keys in (groups or {}).items():
            _frame(axis, title, [(*centers[key], *sizes[key]) for key in keys])
        patches = {key: _box(axis, centers[key], sizes[key], *boxes[key][2:]) for key in boxes}
        for start, style, end, label in found:
            _arrow(axis, patches[start], patches[end], centers[start], centers[end], style, label)
        _legend(axis, left + 0.25, low + 0.16, kinds)
    return figure


def _check(boxes: Mapping) -> None:
    places: dict[tuple, str] = {}
    for key, (column, row, _, _, kind) in boxes.items():
        if kind not in KINDS:
            raise ValueError(f"box {key!r}: kind {kind!r} is none of {tuple(KINDS)}")
        if (other := places.setdefault((column, row), key)) != key:
            raise ValueError(f"boxes {other!r} and {key!r} stand in one place, column {column}, row {row}")


def _size(name: str, shape: str) -> tuple[float, float]:
    """Width and height of a box in inches, by its text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    bold, wide = FontProperties(weight="bold"), []
    for text, size, font in ((name, NAME_SIZE, bold), (shape, SHAPE_SIZE, None)):
        for line in filter(str.strip, text.split("\n")):
            wide.append(TextPath((0, 0), line, size=size, prop=font).get_extents().width / 72)
    lines = sum(len(text.split("\n")) for text in (name, shape) if text)
    return max([*wide, 0.3]) + 2 * PADDING, lines * LINE + 2 * PADDING


def _centers(boxes: Mapping, sizes: Mapping, gap: float, pitch: float) -> dict[str, tuple[float, float]]:
    """Where each box has its middle, in inches; the first row is at the top."""
    wide: dict[int, float] = {}
    for key, (column, *_) in boxes.items():
        wide[column] = max(wide.get(column, 0.0), sizes[key][0])
    at, middle = 0.0, {}
    for column in sorted(wide):
        middle[column] = at + wide[column] / 2
        at += wide[column] + gap
    return {key: (middle[column], -row * pitch) for key, (column, row, *_) in boxes.items()}


def _arrows(arrows: Sequence[str], boxes: Mapping) -> Iterator[tuple[str, str, str, str]]:
    """(start, style, end, label) of every arrow of the chains."""
    for chain in arrows:
        keys, _, label = chain.partition(":")
        parts = ARROW.split(keys.strip())
        for key in parts[::2]:
            if key not in boxes:
                raise ValueError(f"arrow {chain!r}: there is no box {key!r}")
        for k in range(0, len(parts) - 2, 2):
            yield parts[k], parts[k + 1], parts[k + 2], label.strip() if k == len(parts) - 3 else ""


def _box(axis: Axes, center, size, name: str, shape: str, kind: str) -> FancyBboxPatch:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = center, size
    corner = (x - width / 2, y - height / 2)
    look = dict(boxstyle="round,pad=0,rounding_size=0.06", facecolor=KINDS[kind][0], edgecolor="0.45", zorder=2)
    patch = axis.add_patch(FancyBboxPatch(corner, width, height, **look))
    top = y + height / 2 - PADDING
    for text, points, look in ((name, NAME_SIZE, dict(weight="bold")), (shape, SHAPE_SIZE, dict(color="0.25"))):
        for line in text.split("\n") if text else ():
            axis.text(x, top - LINE / 2, line, ha="center", va="center", fontsize=points, zorder=3, **look)
            top -= LINE
    return patch


def _arrow(axis: Axes, start, end, origin, target, style: str, label: str) -> None:
    (x0, y0), (x1, y1) = origin, target
    side = SIDES.get(style[0], 0.0) * (1 if x1 >= x0 else -1)  # "above" is to the other side on the way back
    bend = -2 * BEND * side / math.hypot(x1 - x0, y1 - y0)  # matplotlib's: twice the height over the length
    line = "--" if "~" in style else "-"
    look = dict(arrowstyle="-|>", color="0.2", linestyle=line, patchA=start, patchB=end, shrinkA=1, shrinkB=1)
    look["connectionstyle"] = f"arc3,rad={bend}"
    axis.annotate("", target, origin, arrowprops=look, zorder=1)
    if label:
        x, y = _between(start, end) if not side else ((x0 + x1) / 2, (y0 + y1) / 2 + SIDES[style[0]] * BEND)
        blank = dict(facecolor="white", edgecolor="none", pad=0.6)
        axis.text(x, y, label, ha="center", va="center", fontsize=SHAPE_SIZE, style="italic", bbox=blank, zorder=4)


def _between(start, end) -> tuple[float, float]:
    """The middle of the gap between two boxes."""
    a, b = start.get_bbox(), end.get_bbox()
    return _gap(a.x0, a.x1, b.x0, b.x1), _gap(a.y0, a.y1, b.y0, b.y1)


def _gap(a0: float, a1: float, b0: float, b1: float) -> float:
    """The middle between two intervals, or of what they share."""
    return (min(a1, b1) + max(a0, b0)) / 2


def _frame(axis: Axes, title: str, inside: Sequence[tuple[float, float, float, float]]) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, right = min(x - w / 2 for x, _, w, _ in inside) - 0.12, max(x + w / 2 for x, _, w, _ in inside) + 0.12
    low, high = min(y - h / 2 for _, y, _, h in inside) - 0.12, max(y + h / 2 for _, y, _, h in inside) + 0.12
    look = dict(boxstyle="round,pad=0,rounding_size=0.08", facecolor="0.975", edgecolor="0.75", linestyle=":", zorder=0)
    axis.add_patch(FancyBboxPatch((left, low), right - left, high - low, **look))
    axis.text(left + 0.04, high + 0.03, title, ha="left", va="bottom", fontsize=NAME_SIZE, color="0.35", zorder=1)


def _entry(kind: str) -> float:
    """How many inches the legend gives to ``kind``."""
    return 0.4 + 0.068 * len(KINDS[kind][1])


def _legend(axis: Axes, x: float, y: float, kinds: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    for kind in kinds:
        color, meaning = KINDS[kind]
        axis.add_patch(Rectangle((x, y - 0.05), 0.16, 0.11, facecolor=color, edgecolor="0.45", zorder=2))
        axis.text(x + 0.21, y, meaning, va="center", fontsize=SHAPE_SIZE, color="0.25")
        x += _entry(kind)
