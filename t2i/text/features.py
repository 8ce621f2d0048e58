"""What the encoders hand on: a batch of captions, and a batch of images in the captions' space."""

from typing import NamedTuple

from torch import Tensor


class TextFeatures(NamedTuple):
    """A batch of encoded captions.

    ``words`` (B, 256, T), ``sentence`` (B, N_s), ``mask`` (B, T) bool with True where a position is padding. An encoder
    that gives only a sentence (Char-CNN-RNN, N_s = 1,024) leaves ``words`` and ``mask`` None.
    """

    words: Tensor | None
    sentence: Tensor
    mask: Tensor | None

    def select(self, indices) -> "TextFeatures":
        """The captions at ``indices`` (anything that indexes a tensor's first dimension)."""
        return TextFeatures(*(None if part is None else part[indices] for part in self))

    def to(self, device) -> "TextFeatures":
        return TextFeatures(*(None if part is None else part.to(device) for part in self))


class ImageFeatures(NamedTuple):
    """A batch of images as DAMSM sees them: ``regions`` (B, 256, 17, 17) and one ``code`` (B, 256) for the whole."""

    regions: Tensor
    code: Tensor
