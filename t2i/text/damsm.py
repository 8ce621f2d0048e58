"""DAMSM's two encoders: the words of a caption and the regions of an image in one space of 256 dimensions
(Xu et al., AttnGAN, CVPR 2018, section 3.2). What compares them lies in :mod:`t2i.losses`."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from t2i.errors import UserError
from t2i.text import trunks
from t2i.text.features import ImageFeatures, TextFeatures

if TYPE_CHECKING:
    from t2i.data.captions import Vocabulary

RNN_TYPES = {"LSTM": nn.LSTM, "GRU": nn.GRU}
WIDTH = 256  # of words, sentences, regions and codes, in every profile


class TextEncoder(nn.Module):
    """A bidirectional recurrent layer over embedded words: a word's feature is its two states, the sentence's the last
    state of each direction.

    ``vocabulary_size`` counts ``<end>``. ``vocabulary`` is what :meth:`features` reads texts with (anything with an
    ``encode`` from text to word numbers); an encoder that is only given numbers needs none.
    """

    def __init__(self, vocabulary_size: int, rnn: str = "LSTM", embedding_size: int = 300, dropout: float = 0.5):
        super().__init__()
        if rnn not in RNN_TYPES:
            raise ValueError(f"rnn {rnn!r} is none of {tuple(RNN_TYPES)}")
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.rnn = RNN_TYPES[rnn](embedding_size, WIDTH // 2, batch_first=True, bidirectional=True)
        self.vocabulary = None

    def forward(self, captions: Tensor, lengths: Tensor) -> TextFeatures:
        """Word numbers (B, at least T), 0 after each caption's end, and lengths (B,) in any order -> words (B, 256, T),
        zero in the padding, sentence (B, 256) and mask (B, T); T is the longest length."""
        embedded = self.dropout(self.embedding(captions))
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        with torch.autocast(captions.device.type, enabled=False):  # cuDNN would take float16 for bfloat16
            states, last = self.rnn(packed)
        words, lengths = pad_packed_sequence(states, batch_first=True)
        last = last[0] if isinstance(last, tuple) else last  # an LSTM also gives its cells
        mask = torch.arange(words.shape[1]) >= lengths[:, None]
        return TextFeatures(words.transpose(1, 2), torch.cat([last[0], last[1]], dim=1), mask.to(words.device))

    def require_vocabulary(self) -> "Vocabulary":
        """The vocabulary; :class:`UserError` where the encoder came without one."""
        if self.vocabulary is None:
            raise UserError("This text encoder has no vocabulary", "Import it with the captions.pickle it came with.")
        return self.vocabulary

    def features(self, texts: list[str]) -> TextFeatures:
        """Captions as written, each in full length; :class:`UserError` for one without a known word."""
        vocabulary = self.require_vocabulary()
        numbers = [torch.tensor(vocabulary.encode(text)) for text in texts]
        lengths = torch.tensor([len(words) for words in numbers])
        return self(pad_sequence(numbers, batch_first=True).to(self.embedding.weight.device), lengths)

    def encode(self, texts: list[str]) -> Tensor:
        """The sentence vectors (B, 256) of captions as written."""
        return self.features(texts).sentence


class ImageEncoder(nn.Module):
    """A trunk with two heads: a 1×1 convolution makes region features, a linear map the code of the whole image."""

    def __init__(self, trunk: nn.Module, align_corners: bool = True):
        super().__init__()
        self.trunk, self.align_corners = trunk, align_corners
        regions, pooled = trunk.channels
        self.to_regions = nn.Conv2d(regions, WIDTH, kernel_size=1, bias=False)
        self.to_code = nn.Linear(pooled, WIDTH)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Images (B, 3, s, s) in [-1, 1], of any size -> regions (B, 256, 17, 17) and code (B, 256)."""
        regions, pooled = self.trunk(trunks.resize(images, self.trunk.size, self.align_corners))
        return ImageFeatures(self.to_regions(regions), self.to_code(pooled))


def initialise(text: TextEncoder, image: ImageEncoder) -> None:
    """Embedding and both heads uniform in ±0.1, as published; the recurrent layer keeps PyTorch's default."""
    for weight in (text.embedding.weight, image.to_regions.weight, image.to_code.weight):
        nn.init.uniform_(weight, -0.1, 0.1)
