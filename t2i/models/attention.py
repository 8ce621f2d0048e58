"""Pixels look up words: the attention that every refinement stage uses."""

from typing import get_args

import torch
from torch import Tensor

from t2i.config.settings import Mask


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, rule: Mask) -> tuple[Tensor, Tensor]:
    """Softmax over words of query · key, unscaled (AttnGAN, equation 2; DM-GAN, equation 5).

    ``queries`` (B, C, h, w), ``keys`` (B, C, T), ``values`` (B, D, T), ``mask`` (B, T) with True in the padding.
    Returns what each pixel read (B, D, h, w) and the attention (B, T, h, w).

    ``rule`` "correct" gives padding no weight. "official" is what the released weights were trained with: the mask is
    tiled so that row b·Q + q, pixel q of caption b, meets the mask of caption (b·Q + q) mod B. A picture then depends
    on the other captions of its batch: real words are dropped, and padding, whose features are zero, is looked at.
    """
    height, width = queries.shape[2:]
    scores = queries.flatten(2).transpose(1, 2) @ keys  # (B, Q, T)
    if mask is not None:
        scores = scores.masked_fill(_masked(mask, rule, height * width), -torch.inf)
    attention = scores.softmax(dim=2)
    read = attention @ values.transpose(
        1, 2
    )  # (B, Q, D): seen as a picture it is channels-last, as convolutions like it
    return tuple(found.transpose(1, 2).unflatten(2, (height, width)) for found in (read, attention))


def _masked(mask: Tensor, rule: Mask, pixels: int) -> Tensor:
    """Which words which pixel may not see: (B, Q, T), or (B, 1, T) where all pixels of a picture agree."""
    if rule == "correct":
        return mask[:, None, :]
    if rule == "official":
        rows = torch.arange(len(mask) * pixels, device=mask.device) % len(mask)
        return mask[rows].unflatten(0, (len(mask), pixels))
    raise ValueError(f"mask {rule!r} is none of {get_args(Mask)}")
