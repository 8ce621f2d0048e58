"""Captions as sentence vectors, many at a time."""

import torch
from torch import Tensor, nn


def encode(encoder: nn.Module, captions: list[str], batch_size: int = 512) -> Tensor:
    """The sentence vectors of any number of captions: (N, N_s), on the CPU."""
    parts = [captions[i : i + batch_size] for i in range(0, len(captions), batch_size)]
    with torch.inference_mode():
        return torch.cat([encoder.encode(part).cpu() for part in parts])
