"""What every generator returns."""

from typing import NamedTuple

from torch import Tensor


class Generated(NamedTuple):
    """``images``: (B, 3, s, s) in [-1, 1], small to large; ``attention``: (B, T, h, w) per refinement stage.

    ``mean`` and ``log_variance`` (B, C) belong to the conditioning augmentation, ``penalty`` is the sum of the stages'
    own loss terms; a model without them leaves None, None and 0.
    """

    images: list[Tensor]
    attention: list[Tensor]
    mean: Tensor | None
    log_variance: Tensor | None
    penalty: Tensor | float
