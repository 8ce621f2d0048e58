"""Rows of pictures as a page and as one picture."""

import base64
import io
import re

import pytest
import torch
from PIL import Image

from t2i import tiles
from t2i.tiles import Row, Tile

RED = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
BLUE = RED.flip(0)
ROWS = [Row("first & <last>", [Tile(RED, "red", 'a "red" square', 40), Tile(BLUE, "blue", "a blue one", 40)])]


def test_a_page_has_every_picture_with_its_description_and_escapes_what_was_typed():
    page = tiles.page(ROWS)
    assert "first &amp; &lt;last&gt;" in page and 'alt="a &quot;red&quot; square"' in page
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall('base64,([^"]*)"', page)]
    assert [picture.size for picture in pictures] == [(4, 4), (4, 4)]
    assert [picture.getpixel((0, 0)) for picture in pictures] == [(255, 0, 0), (0, 0, 255)]
    assert page.count('width="40" height="40"') == 2


@pytest.mark.parametrize(("where", "colour"), [((20, 30), (255, 0, 0)), ((66, 30), (0, 0, 255))])
def test_a_picture_has_the_tiles_side_by_side_under_their_title(where, colour):
    with Image.open(io.BytesIO(tiles.png(ROWS))) as picture:
        assert picture.height == 40 + 3 * tiles.LINE and picture.width >= 2 * (40 + tiles.GAP)
        assert picture.getpixel(where) == colour
        assert picture.crop((0, 0, picture.width, tiles.LINE)).getextrema() != ((255, 255),) * 3  # the title


def test_labels_are_cut_where_the_next_tile_begins():
    long = [Row("", [Tile(RED, "w" * 200, "", 40)] * 2)]
    with Image.open(io.BytesIO(tiles.png(long))) as picture:
        gap = picture.crop((40, 40, 40 + tiles.GAP, 40 + tiles.LINE))
        assert gap.getextrema() == ((255, 255),) * 3
