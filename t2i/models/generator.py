"""A generator is a list of stages with an image head after each."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

from t2i.models.blocks import image_head
from t2i.text import TextFeatures


class Generated(NamedTuple):
    """``images``: (B, 3, s, s) in [-1, 1], small to large; ``attention``: (B, T, h, w) per refinement stage.

    ``mean`` and ``log_variance`` (B, C) belong to the conditioning augmentation, ``penalty`` is the sum of the stages'
    own loss terms; a model without them leaves None, None and 0. ``terms`` has these by name, each summed over the
    stages that give it, None where no stage has any.
    """

    images: list[Tensor]
    attention: list[Tensor]
    mean: Tensor | None
    log_variance: Tensor | None
    penalty: Tensor | float
    terms: dict[str, Tensor] | None = None


class Generator(nn.Module):
    """AttnGAN, DM-GAN, their hybrids and MSMT-GAN: they differ in ``initial`` and ``refinements``, and in nothing else.

    Every stage gives features of ``width`` channels, each refinement of twice the size of what came in.
    """

    def __init__(
        self, augmentation: nn.Module, initial: nn.Module, refinements: Iterable[nn.Module], width: int, noise_size: int
    ):
        super().__init__()
        self.noise_size, self.condition_size = noise_size, augmentation.condition_size
        self.augmentation, self.initial = augmentation, initial
        self.refinements = nn.ModuleList(refinements)
        self.heads = nn.ModuleList(image_head(width) for _ in range(1 + len(self.refinements)))

    def forward(self, noise: Tensor, text: TextFeatures, eps: Tensor | None = None) -> Generated:
        """``noise`` (B, Z); ``eps`` (B, C) is the draw of the conditioning augmentation, made inside where None."""
        condition, mean, log_variance = self.augmentation(text.sentence, eps)
        features = self.initial(condition, noise, text)
        stages, maps, terms = [features], [], {}
        for refine in self.refinements:
            features, attention, own = refine(features, text)
            stages.append(features)
            maps.append(attention)
            if isinstance(own, Tensor):
                terms[refine.penalty_name] = terms.get(refine.penalty_name, 0.0) + own
        images = [head(stage) for head, stage in zip(self.heads, stages, strict=True)]
        return Generated(images, maps, mean, log_variance, sum(terms.values(), 0.0), terms or None)
