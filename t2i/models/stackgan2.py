"""StackGAN++ (Zhang et al., TPAMI 2018): the stages are trained together, as a tree that AttnGAN grew out of.

What AttnGAN later asks of the words, each stage here asks of the one condition again.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from t2i.models.blocks import Gate, at_every_pixel, gated_residual, image_head, up_block
from t2i.models.discriminator import Discriminator
from t2i.models.generator import Generated
from t2i.models.initial import ConditioningAugmentation, SentenceStage
from t2i.text import TextFeatures


class ConditionRefinement(nn.Module):
    """The condition at every pixel, before the features; a gated convolution, residual blocks, and a doubling that
    halves the channels."""

    def __init__(self, condition_size: int, width: int, residual_blocks: int):
        super().__init__()
        convolution = nn.Conv2d(condition_size + width, 2 * width, 3, padding=1, bias=False)
        self.joint = nn.Sequential(
            OrderedDict(conv=convolution, norm=nn.BatchNorm2d(2 * width), gate=Gate())
        )  # fmt: skip
        self.residual = nn.Sequential(*(gated_residual(width) for _ in range(residual_blocks)))
        self.up = up_block(width, width // 2)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(B, width, h, w), (B, C) -> (B, width / 2, 2h, 2w)."""
        both = torch.cat([at_every_pixel(condition, features), features], dim=1)
        return self.up(self.residual(self.joint(both)))


class TreeGenerator(nn.Module):
    """``sizes`` are the sides of the pictures, each twice the one before; ``width`` is the number of channels of the
    first stage, and each later one has half as many."""

    def __init__(
        self,
        sentence_size: int,
        condition_size: int,
        noise_size: int,
        width: int,
        sizes: tuple[int, ...],
        residual_blocks: int,
    ):
        super().__init__()
        self.noise_size, self.condition_size = noise_size, condition_size
        widths = [width >> k for k in range(len(sizes))]
        self.augmentation = ConditioningAugmentation(sentence_size, condition_size)
        self.initial = SentenceStage(condition_size, noise_size, width, sizes[0])
        self.refinements = nn.ModuleList(
            ConditionRefinement(condition_size, before, residual_blocks) for before, _ in pairwise(widths)
        )
        self.heads = nn.ModuleList(image_head(channels) for channels in widths)

    def condition(self, sentence: Tensor) -> Tensor:
        """(B, N_s) -> μ (B, C), which the discriminators read."""
        return self.augmentation(sentence)[1]

    def forward(self, noise: Tensor, text: TextFeatures, eps: Tensor | None = None) -> Generated:
        """``noise`` (B, Z); ``eps`` (B, C) is the draw of the conditioning augmentation, made inside where None."""
        condition, mean, log_variance = self.augmentation(text.sentence, eps)
        stages = [self.initial(condition, noise, text)]
        for refine in self.refinements:
            stages.append(refine(stages[-1], condition))
        images = [head(stage) for head, stage in zip(self.heads, stages, strict=True)]
        return Generated(images, [], mean, log_variance, 0.0)


class TreeDiscriminator(Discriminator):
    """The discriminator that AttnGAN took over, but for the order: here the condition comes before the features.

    What the shared interface calls a sentence in :meth:`conditional` is the mean of the conditioning augmentation, (B,
    C).
    """

    def __init__(self, image_size: int, condition_size: int, width: int):
        super().__init__(image_size, condition_size, width, norm="batch")

    def conditional(self, features: Tensor, sentence: Tensor) -> Tensor:
        return self._conditional(features, sentence, sentence_first=True)
