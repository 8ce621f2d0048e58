"""Pictures as the papers prepare them: opened, cropped to the bird, resized, cropped at random, scaled to a pyramid.

Everything up to the random crop is the same in every epoch, so ``cache.py`` does it once; the rest is done per batch.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from t2i import contents, formats
from t2i.data.photos import as_shown
from t2i.errors import UserError, refused

BILINEAR = F.InterpolationMode.BILINEAR
# What Pillow raises for broken files, by format and by how they are broken.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)

Box = tuple[float, float, float, float]


def open_rgb(path: Path, shown: bool = False) -> Image.Image:
    """The image at ``path``, decoded whole, as RGB: the stored pixels, whatever EXIF and alpha say, or with ``shown``
    what a viewer makes of them (:func:`t2i.data.photos.as_shown`).

    Raises :class:`UserError` naming the file where it is missing, cut off or no image.
    """
    try:
        with Image.open(path) as image:
            return as_shown(image) if shown else image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "Put the image back, or take it out of the index.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        mend = "Scale it down: a few hundred pixels a side are all that is used."
        raise UserError(f"{path} cannot be read as an image: it is too large ({error})", mend) from None
    except _UNREADABLE as error:
        raise _unreadable(Path(path), error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    """What the file is instead of a picture, or that it is damaged."""
    if isinstance(error, OSError) and (found := refused(error)):
        return found
    what, mend = contents.told(path, pictures=False) or ("", "")
    instead = f"it {what}" if mend else str(error)
    return UserError(f"{path} cannot be read as an image ({instead})", mend or "Replace the file by a whole copy.")


def bird_box(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The official square around a bounding box (x, y, width, height): (left, top, right, bottom) in pixels.

    Its half side is 0.75 of the box's longer side and it is cut at the image's border, so it need not stay square.
    Numbers are truncated where the official code truncates them. Raises :class:`UserError` for a box without area or
    one that leaves its image by more than 2 px or 1 % (a few boxes of CUB stick out by a pixel).
    """
    name = f"The box ({', '.join(f'{value:g}' for value in box)})"
    mend = "Write it as x, y, width, height in pixels of this image."
    if not all(map(math.isfinite, box)) or int(box[2]) < 1 or int(box[3]) < 1:
        raise UserError(f"{name} has no area", mend)
    x, y, w, h = map(int, box)
    spare_x, spare_y = max(2, 0.01 * width), max(2, 0.01 * height)
    if min(x / spare_x, y / spare_y) < -1 or x + w > width + spare_x or y + h > height + spare_y:
        raise UserError(f"{name} lies outside its image of {width} × {height} px", mend)
    radius = int(max(w, h) * 0.75)
    centre_x, centre_y = (2 * x + w) // 2, (2 * y + h) // 2
    left, top = min(max(0, centre_x - radius), width - 1), min(max(0, centre_y - radius), height - 1)
    right, bottom = min(width, centre_x + radius), min(height, centre_y + radius)
    return left, top, max(right, left + 1), max(bottom, top + 1)  # a box of one pixel has a half side of none


def prepare(image: Image.Image, box: Box | None, size: int, crop: str, resize: str) -> Image.Image:
    """The part of the papers' preparation that is not random: what :func:`random_crop` then cuts ``size`` px from.

    ``crop``: ``"box"`` cuts :func:`bird_box` where there is a box, ``"whole"`` cuts nothing. ``resize``: ``"shorter"``
    brings the shorter side to 76/64 of ``size`` and keeps the aspect (AttnGAN), ``"square"`` squeezes both (Reed,
    StackGAN); both with PIL's bilinear filter, which averages where it shrinks.
    """
    if crop not in ("box", "whole") or resize not in ("shorter", "square"):
        raise ValueError(f"crop is box or whole, resize is shorter or square: not {crop!r}, {resize!r}")
    if box is not None:
        area = bird_box(box, *image.size)  # a wrong box is said even where it is not used: the file behind it is broken
        image = image.crop(area) if crop == "box" else image
    side = prepared_side(size)
    return F.resize(image, [side] if resize == "shorter" else [side, side], interpolation=BILINEAR)


def prepared_side(size: int) -> int:
    """The shorter side of a prepared image that ``size`` px are cut from, in pixels: 76/64 of it."""
    return int(size * 76 / 64)


def random_crop(image: np.ndarray, size: int, draw: Sequence[float]) -> np.ndarray:
    """A (size, size, 3) view of ``image``, mirrored half the time.

    ``draw`` is three numbers from [0, 1): top, left, flip. They come from outside so that a process which loads only a
    part of a batch can draw for all of it.
    """
    height, width = image.shape[:2]
    top, left = int(draw[0] * (height - size + 1)), int(draw[1] * (width - size + 1))
    window = image[top : top + size, left : left + size]
    return window[:, ::-1] if draw[2] < 0.5 else window


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The (size, size, 3) view in the middle of ``image``."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def views(image: np.ndarray, size: int, count: int) -> list[np.ndarray]:
    """The first ``count`` of the ten (size, size, 3) views of ``image``: its middle, its four corners, and these five
    mirrored."""
    bottom, right = image.shape[0] - size, image.shape[1] - size
    corners = [image[top : top + size, left : left + size] for top in (0, bottom) for left in (0, right)]
    crops = [centre_crop(image, size), *corners]
    return [*crops, *(crop[:, ::-1] for crop in crops)][:count]


def pyramid(crop: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """``crop`` (H, W, 3) uint8 at every size of ``sizes``, each from the crop itself by PIL's bilinear filter."""
    if all(crop.shape[:2] == (size, size) for size in sizes):
        return [crop] * len(sizes)
    picture = Image.fromarray(np.ascontiguousarray(crop))
    return [
        crop if crop.shape[:2] == (size, size) else np.asarray(F.resize(picture, [size, size], interpolation=BILINEAR))
        for size in sizes
    ]


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 pictures (B, H, W, 3) as float (B, 3, H, W) in [-1, 1], in channels-last layout, that of the networks."""
    return from_uint8(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8 of the same shape: (x + 1) · 127.5, truncated as in AttnGAN's sampling code.

    A thousandth is added before, so that rounding does not darken a real picture that comes from :func:`to_tensor`.
    """
    return ((images.detach().float() + 1) * 127.5 + 1e-3).clamp_(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """uint8 images as float of the same shape in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def enlarge(images: Tensor, side: int) -> Tensor:
    """Pictures (..., s, s) with each pixel repeated, ``side`` pixels wide or, where that is no multiple of s, less."""
    times = side // images.shape[-1]
    return images.repeat_interleave(times, dim=-2).repeat_interleave(times, dim=-1)


def resize_by_pillow(images: Tensor, side: int, method: Image.Resampling = Image.Resampling.BILINEAR) -> Tensor:
    """uint8 images (N, 3, H, W) as (N, 3, side, side), averaged where they shrink, where they lie."""
    pictures = (Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images.cpu())
    resized = [np.array(picture.resize((side, side), method)) for picture in pictures]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(images.device)


def sheet(images: Tensor, columns: int, gap: int = 2) -> Image.Image:
    """uint8 images (N, 3, s, s) in rows of ``columns`` on white; the last row may be short."""
    count, _, height, width = images.shape
    across, down = sheet_size(count, columns, width, gap)
    canvas = torch.full((3, down, across), 255, dtype=torch.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    return Image.fromarray(canvas.permute(1, 2, 0).numpy())


def save_sheet(images: Tensor, columns: int, file: Path) -> None:
    """Write :func:`sheet` in the format of the file's suffix, whole or not at all."""
    formats.save(sheet(images, columns), file)


def sheet_size(count: int, columns: int, side: int, gap: int = 2) -> tuple[int, int]:
    """Width and height in pixels of the :func:`sheet` of ``count`` pictures of ``side`` px."""
    return columns * (side + gap) - gap, -(-count // columns) * (side + gap) - gap
