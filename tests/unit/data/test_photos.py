import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from t2i.data import images
from t2i.errors import UserError

CORNERS = np.zeros((8, 12, 3), np.uint8)  # no two corners alike: every turn and mirror shows
CORNERS[:4, :6], CORNERS[:4, 6:], CORNERS[4:, :6] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def _shown(path):
    return np.asarray(images.open_rgb(path, shown=True))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path, orientation, suffix):
    turned = {
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.transpose(1, 0, 2),
        6: np.rot90(CORNERS, 1),
        7: CORNERS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(CORNERS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif, **options)
    assert _shown(path).shape == CORNERS.shape
    assert np.abs(_shown(path).astype(int) - CORNERS).mean() < (12 if suffix == "jpg" else 0.01)


def test_broken_exif_leaves_the_picture_as_it_is_stored(tmp_path):
    Image.fromarray(CORNERS).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff no directory")
    assert np.array_equal(_shown(tmp_path / "a.png"), CORNERS)


def _disc(tmp_path, form):
    """Black in a transparent surrounding, in one of the forms that files have for it."""
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True
    alpha = (inside * 255).astype(np.uint8)
    black = Image.new("RGB", (16, 16))
    path = tmp_path / ("a.gif" if "GIF" in form else "a.tif" if form == "premultiplied" else "a.png")
    if form in ("RGBA", "LA"):
        picture = black.convert(form[:-1])
        picture.putalpha(Image.fromarray(alpha))
        picture.save(path)
    elif form in ("RGB key", "L key", "1 key", "I;16 key"):
        mode = form.removesuffix(" key")
        values = np.where(inside, 0, 65535 if mode == "I;16" else 255)
        picture = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
        key = (255, 255, 255) if mode == "RGB" else {"L": 255, "1": 255, "I;16": 65535}[mode]
        if mode == "RGB":  # the key is red, so that white is not simply what was stored
            picture, key = Image.fromarray(np.where(inside[..., None], 0, [255, 0, 0]).astype(np.uint8)), (255, 0, 0)
        if mode == "L":
            picture, key = Image.fromarray(np.where(inside, 0, 100).astype(np.uint8)), 100
        if mode == "I;16":
            picture, key = Image.fromarray(np.where(inside, 0, 300).astype(np.uint16)), 300
        (picture.convert("1") if mode == "1" else picture).save(path, transparency=key)
    elif form.startswith("P"):
        palette = Image.fromarray(np.where(inside, 1, 0).astype(np.uint8), "P")
        palette.putpalette([0, 0, 90, 0, 0, 0])
        palette.save(path, transparency=b"\0" if "bytes" in form else 0)
    elif "GIF" in form:
        palette = Image.fromarray(np.where(inside, 1, 0).astype(np.uint8), "P")
        palette.putpalette([0, 0, 90, 0, 0, 0])
        more = {"save_all": True, "append_images": [Image.new("P", (16, 16), 1)]} if "animated" in form else {}
        palette.save(path, transparency=0, **more)
    return path, inside


@pytest.mark.parametrize(
    "form", ["RGBA", "LA", "RGB key", "L key", "1 key", "I;16 key", "P", "P bytes", "GIF", "animated GIF"]
)
def test_every_form_of_transparency_is_laid_on_white(tmp_path, form):
    path, inside = _disc(tmp_path, form)
    shown = _shown(path)
    assert (shown[inside] == 0).all() and (shown[~inside] == 255).all()


@pytest.mark.parametrize("key", [(0, 0, 65535), (0, 0, 65300)])
def test_a_transparent_colour_of_sixteen_bits(tmp_path, key):
    """Pillow keeps the colour's sixteen bits and only the upper eight of the pixels."""
    values = np.zeros((8, 8, 3), ">u2")
    values[:, 4:] = key

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = b"".join(b"\0" + line.tobytes() for line in values)
    parts = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)), (b"tRNS", struct.pack(">3H", *key))
    content = b"".join(chunk(*part) for part in (*parts, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    shown = _shown(tmp_path / "a.png")
    assert (shown[:, :4] == 0).all() and (shown[:, 4:] == 255).all()


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (4, 4), (200, 0, 100, 128)).save(tmp_path / "a.webp", lossless=True)
    assert np.allclose(_shown(tmp_path / "a.webp"), np.array([200, 0, 100]) * 128 / 255 + 127, atol=1)


RAMP = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((RAMP * 65535).astype(np.uint16), "a.png"),
        ((RAMP * 65535).astype(np.uint16), "a.tif"),
        ((RAMP * 65535).astype(np.uint16), "a.pgm"),
        ((RAMP * 65535).astype(np.int32), "a.tif"),
        ((RAMP * 255).astype(np.int32), "a.tif"),
        ((RAMP * 2**30).astype(np.int32), "a.tif"),
        (RAMP.astype(np.float32), "a.tif"),
        ((RAMP * 255).astype(np.float32), "a.tif"),
        ((RAMP * 65535).astype(np.float32), "a.tif"),
        ((RAMP * 7 - 3).astype(np.float32), "a.tif"),
    ],
)
def test_every_depth_is_scaled_by_its_range(tmp_path, values, name):
    Image.fromarray(values).save(tmp_path / name)
    assert np.abs(_shown(tmp_path / name)[..., 1] - RAMP * 255).max() <= 1


def test_a_dark_picture_of_sixteen_bits_stays_dark(tmp_path):
    Image.fromarray((RAMP * 6553).astype(np.uint16)).save(tmp_path / "a.png")
    assert _shown(tmp_path / "a.png").max() == 25  # a tenth of the range


def test_floats_that_are_no_numbers_are_refused_by_name(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif cannot be read .*no numbers"):
        _shown(tmp_path / "a.tif")


def test_cmyk_and_one_bit(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(_shown(tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() <= 3
    Image.fromarray(RAMP > 0.5).save(tmp_path / "b.png")
    assert np.array_equal(_shown(tmp_path / "b.png")[..., 0], (RAMP > 0.5) * 255)


def test_colours_follow_the_embedded_profile_and_a_broken_one_is_passed_over(tmp_path):
    lab = ImageCms.createProfile("LAB")
    for name, profile in (("lab", ImageCms.ImageCmsProfile(lab).tobytes()), ("broken", b"no profile")):
        Image.fromarray(CORNERS).save(tmp_path / f"{name}.png", icc_profile=profile)
        assert np.array_equal(_shown(tmp_path / f"{name}.png"), CORNERS)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(CORNERS).save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.abs(_shown(tmp_path / "srgb.png").astype(int) - CORNERS).max() <= 1


def test_the_benchmark_sets_are_read_as_they_are_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(CORNERS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(images.open_rgb(tmp_path / "a.png")), CORNERS)


def test_warnings_about_metadata_stop_nothing(tmp_path):
    path, inside = _disc(tmp_path, "P bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"PIL\.")
        assert (_shown(path)[~inside] == 255).all()
