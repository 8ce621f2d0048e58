"""The discriminators of the multi-stage models, one for each image size."""

from collections import OrderedDict
from itertools import pairwise
from typing import get_args

from torch import Tensor, nn

from t2i.config.settings import Norm
from t2i.models.blocks import SpectralConv2d, conv_with_vector, doublings

NORMS = get_args(Norm)


class Discriminator(nn.Module):
    """Halves an image down to 4×4, and judges it there alone and together with its sentence.

    The tower ends with 8 · ``width`` channels at every size: above 64 px it grows further with each halving, and 3×3
    convolutions bring it back; below, it starts wider. ``norm`` "batch" is AttnGAN's, "spectral" DM-GAN's, which has a
    bias wherever a batch norm would have stood.
    """

    def __init__(self, image_size: int, sentence_size: int, width: int, norm: str):
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} is none of {NORMS}")
        steps = doublings(image_size)
        widths = [3, *(width << (k + max(0, 4 - steps)) for k in range(steps))]
        blocks = [_block(i, o, 4, norm, first=i == 3) for i, o in pairwise(widths)]
        last, deep = 8 * width, widths[-1]
        while deep > last:
            blocks.append(_block(deep, deep // 2, 3, norm))
            deep //= 2
        self.tower = nn.Sequential(*blocks)
        self.joint = _block(last + sentence_size, last, 3, norm)
        self.conditional_logit = nn.Conv2d(last, 1, kernel_size=4)
        self.unconditional_logit = nn.Conv2d(last, 1, kernel_size=4)

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, s, s) in [-1, 1] -> (B, 8 · width, 4, 4)."""
        return self.tower(image)

    def conditional(self, features: Tensor, sentence: Tensor) -> Tensor:
        """Logits (B,): real, and fitting its sentence (B, N_s)?"""
        return self._conditional(features, sentence)

    def _conditional(self, features: Tensor, sentence: Tensor, sentence_first: bool = False) -> Tensor:
        conv, *rest = self.joint
        x = conv_with_vector(conv, features, sentence, sentence_first)
        for layer in rest:
            x = layer(x)
        return self.conditional_logit(x).flatten()

    def unconditional(self, features: Tensor) -> Tensor:
        """Logits (B,): real?"""
        return self.unconditional_logit(features).flatten()


def _block(channels: int, out: int, kernel: int, norm: str, first: bool = False) -> nn.Sequential:
    """A convolution (4×4 halves the side, 3×3 keeps it), its normalisation, and a leaky ReLU."""
    geometry = dict(kernel_size=kernel, stride=kernel - 2 if kernel == 4 else 1, padding=1)
    if norm == "spectral":
        parts = OrderedDict(conv=SpectralConv2d(channels, out, **geometry))
    else:
        parts = OrderedDict(conv=nn.Conv2d(channels, out, bias=False, **geometry))
        if not first:  # as in DCGAN, pixels themselves are not normalised
            parts["norm"] = nn.BatchNorm2d(out)
    return nn.Sequential(parts | {"act": nn.LeakyReLU(0.2, inplace=True)})
