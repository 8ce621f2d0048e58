"""Pictures of pictures: sheets of samples, curves, attention maps."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from t2i import paths


def sheet(images: Tensor, columns: int, gap: int = 2) -> Image.Image:
    """uint8 images (N, 3, s, s) in rows of ``columns`` on white; the last row may be short."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.full((3, rows * (height + gap) - gap, columns * (width + gap) - gap), 255, dtype=torch.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    return Image.fromarray(canvas.permute(1, 2, 0).numpy())


def save_sheet(images: Tensor, columns: int, file: Path) -> None:
    """Write :func:`sheet` as a PNG, whole or not at all."""
    picture = sheet(images, columns)
    paths.write_atomically(file, lambda temporary: picture.save(temporary, format="png"))
