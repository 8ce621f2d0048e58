"""Rows of small pictures with a line under each, as a page (with a description of every picture) and as one PNG."""

import base64
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GAP, LINE = 6, 16  # pixels between tiles, and of a line of text


class Tile(NamedTuple):
    """A picture (3, s, s) uint8, shown ``side`` pixels wide with ``label`` under it; ``alt`` says what it shows."""

    picture: Tensor
    label: str
    alt: str
    side: int = 96


class Row(NamedTuple):
    """Tiles side by side, under a line that says what they have in common."""

    title: str
    tiles: Sequence[Tile]


def page(rows: Sequence[Row]) -> str:
    """The rows as HTML that needs nothing else; a narrow page breaks them."""
    inside = "".join(
        f'<div style="margin:4px 0">{html.escape(row.title)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:{GAP}px">{"".join(map(_figure, row.tiles))}</div>'
        for row in rows
    )
    return f'<div style="line-height:1.3">{inside}</div>'


def _figure(tile: Tile) -> str:
    picture = io.BytesIO()
    Image.fromarray(tile.picture.permute(1, 2, 0).numpy()).save(picture, "PNG")
    data = base64.b64encode(picture.getvalue()).decode()
    # The size stands in attributes too, for pages that drop styles: JupyterLab does before it trusts a notebook.
    style = f"width:{tile.side}px;height:{tile.side}px;margin:0;image-rendering:pixelated"
    return (
        f'<figure style="margin:0;max-width:{tile.side}px">'
        f'<img width="{tile.side}" height="{tile.side}" style="{style}" alt="{html.escape(tile.alt)}"'
        f' src="data:image/png;base64,{data}">'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{html.escape(tile.label)}</figcaption></figure>'
    )


def png(rows: Sequence[Row]) -> bytes:
    """The rows as one picture, for pages that show no HTML."""
    font = ImageFont.load_default(12)
    width = max(
        [sum(tile.side + GAP for tile in row.tiles) for row in rows] + [int(font.getlength(row.title)) for row in rows]
    )
    heights = [max(tile.side for tile in row.tiles) + (2 + bool(row.title)) * LINE for row in rows]
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    pen, top = ImageDraw.Draw(canvas), 0
    for row, height in zip(rows, heights, strict=True):
        pen.text((0, top), row.title, "black", font)
        left, under = 0, top + LINE * bool(row.title)
        for tile in row.tiles:
            picture = Image.fromarray(tile.picture.permute(1, 2, 0).numpy())
            canvas.paste(picture.resize((tile.side, tile.side), Image.NEAREST), (left, under))
            pen.text((left, under + tile.side), _cut(tile.label, tile.side, font), "black", font)
            left += tile.side + GAP
        top += height
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def _cut(label: str, width: int, font) -> str:
    """As much of a label as there is room for."""
    while label and font.getlength(label) > width:
        label = label[:-1]
    return label
