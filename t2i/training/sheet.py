"""The sheet of samples that a GAN draws while it trains: a caption in each row, a noise in each column."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2i.data.images import save_sheet, to_uint8
from t2i.data.index import Index
from t2i.text import TextFeatures

SIDE = 6


def rows(encoder: nn.Module, index: Index) -> TextFeatures:
    """The first captions of unseen images far apart, each once for every column: (SIDE * SIDE, ...)."""
    unseen = index.split("test") or index.split("train")
    chosen = np.linspace(0, len(unseen) - 1, SIDE).astype(int)
    with torch.no_grad():
        text = encoder.features([unseen[i].captions[0] for i in chosen])
    return text.select(torch.arange(SIDE).repeat_interleave(SIDE))


def columns(noise: Tensor) -> Tensor:
    """Noise (SIDE, Z), once for every row: (SIDE * SIDE, Z)."""
    return noise.repeat(SIDE, 1)


def save(pictures: Tensor, file: Path) -> None:
    """Pictures (SIDE * SIDE, 3, s, s) in [-1, 1] as an image file."""
    save_sheet(to_uint8(pictures).cpu(), SIDE, file)
