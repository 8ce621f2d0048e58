"""Any number of captions through a text encoder, in batches."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def encode(text: nn.Module, captions: list[str], batch_size: int = 512) -> Tensor:
    """The sentence vectors of captions as written, by any text encoder: (N, N_s), on the CPU."""
    parts = [captions[i : i + batch_size] for i in range(0, len(captions), batch_size)]
    return torch.cat([text.encode(part).cpu() for part in parts])
