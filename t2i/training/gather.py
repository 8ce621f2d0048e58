"""One batch out of the shards of a data-parallel run."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Gather:
    """``gather(x)``: the whole batch (B, ...) of which this process holds the shard ``x`` (b, ...), with its gradient.

    Every process then computes the loss of the whole batch, and from it the gradient of its own shard; that is complete
    without any exchange. Data-parallel training takes the mean over the processes where one process would have the
    sum, so the gradient is multiplied by their number. None stays None; with one process nothing happens.
    """

    def __init__(self, fabric: "Fabric | None" = None):
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None

    def __call__(self, x: Tensor | None) -> Tensor | None:
        if x is None or self.fabric is None:
            return x
        shards = list(self.fabric.all_gather(x.detach()))
        if x.requires_grad:
            x = x + (self.fabric.world_size - 1) * (x - x.detach())
            shards[self.fabric.global_rank] = x
        return torch.cat(shards)
