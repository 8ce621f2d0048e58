"""The refinement stages: features and words become features of twice the size."""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from t2i.config import MultiStageConfig
from t2i.models.attention import attend
from t2i.models.blocks import gated_residual, up_block
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH as TEXT_SIZE


class Reading(NamedTuple):
    """What a stage has read: the features with something beside them (B, 2 · width, h, w), the attention over words (B,
    T, h, w), and the stage's own loss term, a scalar, or 0 where it has none."""

    both: Tensor
    attention: Tensor
    penalty: Tensor | float = 0.0


class Refinement(nn.Module):
    """What all refinements share: words are read, residual blocks digest the pair, and one block doubles.

    A kind of stage says in :meth:`read` what is put beside the features. ``width`` channels come in and go out, words
    have ``text_size``, and ``mask`` is the rule of :func:`attend`. A stage with numbers of its own takes them in
    :meth:`from_config` by ``config.option``. A stage with a loss of its own names it in ``penalty_name``: it is logged
    under that name, and weighted by the number ``<penalty_name>_weight``.
    """

    penalty_name = "penalty"

    def __init__(self, width: int, text_size: int, residual_blocks: int, mask: str = "correct"):
        super().__init__()
        self.text_size, self.mask = text_size, mask
        self.residual = nn.Sequential(*(gated_residual(2 * width) for _ in range(residual_blocks)))
        self.up = up_block(2 * width, width)

    @classmethod
    def from_config(cls, config: MultiStageConfig) -> "Refinement":
        """The stage as ``config`` describes it."""
        return cls(config.generator_width, TEXT_SIZE, config.residual_blocks, config.mask)

    def read(self, features: Tensor, text: TextFeatures) -> Reading:
        """Features (B, width, h, w) and the words of their captions -> what the residual blocks digest."""
        raise NotImplementedError

    def forward(self, features: Tensor, text: TextFeatures) -> tuple[Tensor, Tensor, Tensor | float]:
        """(B, width, h, w) -> (B, width, 2h, 2w), the attention (B, T, h, w), and the stage's own loss term."""
        both, attention, penalty = self.read(features, text)
        return self.up(self.residual(both)), attention, penalty


class AttentionRefinement(Refinement):
    """AttnGAN's stage: each pixel gets a mean of the words, weighted by how well they fit it (equation 2)."""

    def __init__(self, width: int, text_size: int, residual_blocks: int, mask: str):
        super().__init__(width, text_size, residual_blocks, mask)
        self.key = nn.Conv2d(text_size, width, kernel_size=1, bias=False)

    def read(self, features: Tensor, text: TextFeatures) -> Reading:
        words = self.key(text.words[..., None]).squeeze(3)  # keys and values are the same here
        context, attention = attend(features, words, words, text.mask, self.mask)
        return Reading(torch.cat([features, context], dim=1), attention)


class MemoryRefinement(Refinement):
    """DM-GAN's stage: words are written into a memory that depends on the picture, and each pixel reads from it.

    Memory writing (equations 1 to 3 of the paper): a gate of one number per word weighs the word against the mean of
    the picture's features. Key addressing and value reading (4, 5); a response gate decides, pixel by pixel, how much
    of what was read replaces the features (6). ``width`` is the paper's N_r, the memory has N_m = 2 · ``width``.
    """

    def __init__(self, width: int, text_size: int, residual_blocks: int, mask: str):
        super().__init__(width, text_size, residual_blocks, mask)
        memory = 2 * width
        self.word_gate = nn.Linear(text_size, 1, bias=False)
        self.image_gate = nn.Linear(width, 1, bias=False)
        self.write_image, self.write_word = _map(width, memory), _map(text_size, memory)
        self.key, self.value = _map(memory, width), _map(memory, width)
        self.response_gate = nn.Conv2d(memory, 1, kernel_size=1)

    def write(self, features: Tensor, words: Tensor) -> Tensor:
        """(B, width, h, w) and (B, N_w, T) -> the memory (B, 2 · width, T)."""
        mean = features.detach().mean(dim=(2, 3))  # the code detaches it, which the paper does not say
        gate = torch.sigmoid(self.word_gate(words.transpose(1, 2)) + self.image_gate(mean)[:, None]).transpose(1, 2)
        return self.write_word(words) * gate + self.write_image(mean[:, :, None]) * (1 - gate)

    def read(self, features: Tensor, text: TextFeatures) -> Reading:
        memory = self.write(features, text.words)
        found, attention = attend(features, self.key(memory), self.value(memory), text.mask, self.mask)
        gate = torch.sigmoid(self.response_gate(torch.cat([features, found], dim=1)))
        features = features * (1 - gate) + found * gate
        # twice the same, so that the rest is as in AttnGAN
        return Reading(torch.cat([features, features], dim=1), attention)


def _map(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=nn.Conv1d(channels, out, kernel_size=1), act=nn.ReLU()))
