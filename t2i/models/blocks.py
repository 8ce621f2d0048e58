"""Pieces that several networks share."""

from torch import Tensor, nn


class Residual(nn.Module):
    """``activation(x + body(x))``."""

    def __init__(self, body: nn.Module, activation: nn.Module):
        super().__init__()
        self.body, self.activation = body, activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.body(x))


def doublings(image_size: int) -> int:
    """How often 4 px must double to give ``image_size``; ValueError where no number of times does."""
    count = (image_size // 4).bit_length() - 1
    if count < 1 or 4 << count != image_size:
        raise ValueError(f"image_size {image_size} is not 8, 16, 32, 64, ...")
    return count


def parameter_count(module: nn.Module, trainable: bool = False) -> int:
    """The number of parameters, or of those that require a gradient."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)
