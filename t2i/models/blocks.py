"""Pieces that several networks share."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """``activation(x + body(x))``."""

    def __init__(self, body: nn.Module, activation: nn.Module):
        super().__init__()
        self.body, self.activation = body, activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.body(x))


class Gate(nn.Module):
    """a ⊙ σ(b), where a and b are the halves of the channels: (B, 2C, h, w) -> (B, C, h, w).

    ``nn.GLU`` in two steps, whose gradient has the layout of the input. That of ``nn.GLU`` is always contiguous, and
    the backward pass of a channels-last batch norm takes several times as long on it.
    """

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=1)
        return value * gate.sigmoid()


def gated_residual(channels: int) -> Residual:
    """The residual block from StackGAN++ on: a gated 3×3 convolution and a plain one, and nothing after the sum."""
    body = nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(2 * channels), Gate(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
    )  # fmt: skip
    return Residual(body, nn.Identity())


class UpConv2d(nn.Conv2d):
    """Nearest-neighbour doubling and a 3×3 convolution, without bias: (B, C, h, w) -> (B, out, 2h, 2w).

    After doubling, every output pixel sees a 2×2 neighbourhood of the small picture, some of it two or four times over.
    So the taps that fall on the same pixel can be summed first. What is left is one transposed convolution of stride 2
    with a 4×4 kernel that reads the small picture: 16 multiplications in place of 36, and no doubled picture to keep.
    Equal up to rounding; ``fast = False`` takes the plain way.
    """

    fast = True
    fast_from = 16  # px; on smaller pictures the plain way is as fast or faster (benchmarks/doubling.py)

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.fast or x.shape[2] < self.fast_from:
            return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
        kernel = _spread(_spread(self.weight, dim=2), dim=3)  # summed in the weight's precision, whatever autocast says
        return F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2, padding=1)


def _spread(kernel: Tensor, dim: int) -> Tensor:
    """What a pixel gives to the four pixels that see it along ``dim`` once it is doubled, by the three taps there: its
    two halves see it twice, the one before them by their last tap only and the one behind them by their first."""
    first, middle, last = kernel.split(1, dim)
    return torch.cat([last, middle + last, first + middle, first], dim)


def up_block(channels: int, out: int) -> nn.Sequential:
    """Doubling, a 3×3 convolution to 2 · ``out`` channels, batch norm, and a gate that leaves ``out``."""
    return nn.Sequential(OrderedDict(conv=UpConv2d(channels, 2 * out), norm=nn.BatchNorm2d(2 * out), gate=Gate()))


def image_head(channels: int) -> nn.Sequential:
    """Features to a picture in [-1, 1]."""
    return nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1, bias=False), nn.Tanh())


class Fusion(nn.Module):
    """Two feature maps become one, weighed pixel by pixel (MSMT-GAN, equations 17 and 18).

    r = a ⊙ g + b ⊙ (1 − g) with the gate g = σ(P · [a, b] + ρ), one number for each pixel.
    """

    def __init__(self, width: int):
        super().__init__()
        self.gate = nn.Conv2d(2 * width, 1, kernel_size=1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, width, h, w) twice -> (B, width, h, w)."""
        for_a, for_b = self.gate.weight.split(a.shape[1], dim=1)  # so that [a, b] is never laid out
        gate = torch.sigmoid(F.conv2d(a, for_a, self.gate.bias) + F.conv2d(b, for_b))
        return b + gate * (a - b)


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by its largest singular value, as estimated by power iteration.

    Every forward pass makes one iteration, in eval mode too, as DM-GAN's code does (``torch.nn.utils.parametrizations``
    iterates in train mode only, and several times at first). The gradient holds the two vectors fixed, each forward
    pass at its own: the official code saves them by reference, which on a newer PyTorch than its own falsifies the
    gradients of all but the last pass.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        rows, columns = self.weight.flatten(1).shape
        self.register_buffer("u", _unit(torch.randn(rows)))
        self.register_buffer("v", _unit(torch.randn(columns)))

    def normalised(self) -> Tensor:
        """The weight over its singular value, after one more iteration."""
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                v = _unit(matrix.T @ self.u)
                u = _unit(matrix @ v)
                self.u.copy_(u)
                self.v.copy_(v)
            return self.weight / torch.dot(u, matrix @ v)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.normalised(), self.bias)


def _unit(vector: Tensor) -> Tensor:
    return vector / (vector.norm() + 1e-12)


def at_every_pixel(vector: Tensor, features: Tensor) -> Tensor:
    """A vector (B, N) at every pixel of ``features`` (B, C, h, w): (B, N, h, w), without copies."""
    return vector[:, :, None, None].expand(-1, -1, *features.shape[2:])


def conv_with_vector(conv: nn.Conv2d, features: Tensor, vector: Tensor, vector_first: bool = False) -> Tensor:
    """A 3×3 convolution with padding 1 of features (B, C, h, w) and, beside them, a vector (B, N) that is the same at
    every pixel: ``conv(cat([features, spread vector]))`` without the spread.

    A vector meets each of the nine taps once, and a pixel adds those of its taps that do not fall off the picture: at
    4 px, 1/16 of the multiplications. It is worth it where the vector is wider than the features, as in narrow
    networks; elsewhere the spread is laid out. ``vector_first`` is the other order of the input channels. Equal up to
    rounding.
    """
    if vector.shape[1] <= features.shape[1]:
        both = [features, at_every_pixel(vector, features)]
        return conv(torch.cat(both[::-1] if vector_first else both, dim=1))
    weight = conv.normalised() if isinstance(conv, SpectralConv2d) else conv.weight
    sizes = [features.shape[1], vector.shape[1]]
    for_features, for_vector = weight.split(sizes, 1) if not vector_first else reversed(weight.split(sizes[::-1], 1))
    taps = F.linear(vector, for_vector.permute(0, 2, 3, 1).flatten(0, 2)).unflatten(1, (-1, 9))  # (B, out, 9)
    inside = F.unfold(taps.new_ones(1, 1, *features.shape[2:]), 3, padding=1)[0]  # (9, h · w)
    from_vector = (taps @ inside).unflatten(2, features.shape[2:])
    return F.conv2d(features, for_features, conv.bias, padding=1) + from_vector


def doublings(image_size: int) -> int:
    """How often 4 px must double to give ``image_size``; ValueError where no number of times does."""
    count = (image_size // 4).bit_length() - 1
    if count < 1 or 4 << count != image_size:
        raise ValueError(f"image_size {image_size} is not 8, 16, 32, 64, ...")
    return count


def parameter_count(module: nn.Module, trainable: bool = False) -> int:
    """The number of parameters, or of those that require a gradient."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)
