"""A user's own pictures as a viewer shows them: upright, on white, in sRGB, with every depth brought to eight bits.

The benchmark sets are read as they are stored: their boxes and published figures belong to those pixels.
"""

import io
import warnings
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms, ImageOps

warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, whatever Python is told to do with warnings

_WHITE = (255, 255, 255, 255)
_DEEP = ("I", "F")  # and all modes that begin with "I;"
_OF_PROFILE = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB"}


def as_shown(image: Image.Image) -> Image.Image:
    """The first frame of an opened ``image`` as a viewer shows it, RGB.

    Turned and mirrored as its EXIF orientation says; transparency of every form (alpha, palettes, one transparent
    colour) over white; 16-bit integers by their range, other integers and floats by the smallest of 1 (floats only),
    255 and 65,535 that holds their values, or from their lowest to their highest where none does; colours by the
    embedded profile. Raises ValueError where a value is no number.
    """
    sixteen = "16" in str(image.tile[0][3:]) if getattr(image, "tile", None) else False
    image.load()
    with suppress(Exception):  # broken EXIF, which is read in many places: the picture is as it is stored
        image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if image.mode in _DEEP or image.mode.startswith("I;"):
        return _shallow(image).convert("RGB")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        image = _on_white(image, sixteen)
    return _in_srgb(image, profile)


def _on_white(image: Image.Image, sixteen: bool) -> Image.Image:
    """``image`` without transparency, RGB. ``sixteen``: its samples had 16 bits, and the transparent colour has."""
    key = image.info.get("transparency")
    if sixteen and image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture).convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """A picture of one channel of more than eight bits as one of eight (L); a transparent value becomes white."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are no numbers")
    low, high = values.min(), values.max()
    tops = (255, 65535) if image.mode == "I" else (1, 255, 65535)
    if image.mode.startswith("I;") or image.format in ("PNG", "PPM"):  # older Pillow opens 16-bit PNG as "I"
        tops = (65535,)
    top = next((top for top in tops if low >= 0 and high <= top), None)
    scaled = values * (255 / top) if top else (values - low) * (255 / max(high - low, np.finfo(float).tiny))
    key = image.info.get("transparency")
    if isinstance(key, int):
        scaled[values == key] = 255
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """``image`` as RGB, by its colour ``profile`` where it has one that fits it."""
    mode = _OF_PROFILE.get(image.mode, image.mode)
    if profile or mode == "LAB":
        with suppress(
            ImageCms.PyCMSError, ImportError, OSError, ValueError
        ):  # a broken profile, or one for another mode
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
            plain = image if image.mode == mode else image.convert(mode)
            return ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")
