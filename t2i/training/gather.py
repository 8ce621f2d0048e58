"""One batch out of the shares of a data-parallel run."""

from lightning_fabric import Fabric
from torch import Tensor


class Gather:
    """``gather(x)``: the whole batch (B, ...) of which this process holds the share ``x`` (b, ...), with gradients.

    Every process then computes the loss of the whole batch, and the mean over processes, which data-parallel training
    takes of the gradients, is the gradient of one process with the whole batch. None stays None; with one process
    nothing happens.
    """

    def __init__(self, fabric: Fabric | None = None):
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None

    def __call__(self, x: Tensor | None) -> Tensor | None:
        if x is None or self.fabric is None:
            return x
        return self.fabric.all_gather(x, sync_grads=x.requires_grad).flatten(0, 1)
