"""Any number of captions through a text encoder, in batches."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def encode(text: nn.Module, captions: list[str], batch_size: int = 512) -> Tensor:
    """The sentence vectors of captions as written, by any text encoder: (N, N_s), on the CPU."""
    vectors = None
    for start in range(0, len(captions), batch_size):
        part = text.encode(captions[start : start + batch_size]).cpu()
        if vectors is None:  # all at once: parts beside their sum would hold 200,000 captions twice
            vectors = part.new_empty(len(captions), part.shape[1])
        vectors[start : start + len(part)] = part
    return vectors
