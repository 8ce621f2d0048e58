"""Where a GAN's texts come from: captions that a frozen encoder reads."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i.data import reading
from t2i.data.captions import Vocabulary, pad
from t2i.data.index import Example, Index
from t2i.device import on_device
from t2i.progress import tqdm
from t2i.text import TextFeatures
from t2i.text.encode import encode

WHOLE = slice(None)


class Words(NamedTuple):
    """Captions as word numbers (B, T), 0 behind each one's end, and lengths (B,), which stay on the CPU."""

    numbers: Tensor
    lengths: Tensor


class SentenceTexts:
    """The vectors of all captions of all images, computed once: (captions in all, N_s), on the CPU.

    ``averaged`` captions of an image are drawn each time and their mean is the text (GAN-CLS), with or, as GAN-CLS does
    on COCO, without replacement.
    """

    def __init__(
        self,
        encoder: nn.Module,
        captions: Sequence[Sequence[str]],
        device: str | torch.device = "cpu",
        averaged: int = 1,
        replace: bool = True,
    ):
        texts = [caption for written in captions for caption in written]
        with on_device(encoder, torch.device(device).type) as there:
            self.vectors = encode(there, texts).clone()
        self.averaged, self.replace = averaged, replace
        self.counts = np.array([len(written) for written in captions])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def draw(self, images: np.ndarray, rng: np.random.Generator, shard: slice = WHOLE) -> TextFeatures:
        """A text for each of ``images`` (B,), of which those of ``shard`` are returned: sentence (b, N_s)."""
        if self.replace:
            picks = (rng.random((len(images), self.averaged)) * self.counts[images, None]).astype(np.int64)
        else:
            few = np.minimum(self.averaged, self.counts[images])
            drawn = [rng.permutation(count)[:n] for count, n in zip(self.counts[images], few, strict=True)]
            picks = np.stack([np.resize(pick, self.averaged) for pick in drawn])
        rows = torch.from_numpy(self.starts[images, None] + picks)[shard]
        return TextFeatures(None, self.vectors[rows].mean(dim=1), None)

    def read(self, drawn: TextFeatures, device: torch.device) -> TextFeatures:
        """What was drawn, on ``device``."""
        return drawn.to(device)


class WordTexts:
    """One caption of an image as word numbers, at most ``words`` of them, which DAMSM's ``encoder`` reads in each step.

    The first ``limit`` captions of every image take part.
    """

    def __init__(self, encoder: nn.Module, captions: Sequence[Sequence[str]], limit: int, words: int):
        self.encoder, self.words = encoder, words
        vocabulary = encoder.require_vocabulary()
        self.numbers = [[vocabulary.encode(caption) for caption in written[:limit]] for written in captions]

    def draw(self, images: np.ndarray, rng: np.random.Generator, shard: slice = WHOLE) -> Words:
        """A caption for each of ``images`` (B,), of which those of ``shard`` are returned."""
        chosen = [self.numbers[index][rng.integers(len(self.numbers[index]))] for index in images]
        numbers, lengths = pad(chosen, min(self.words, max(map(len, chosen))), rng)
        return Words(numbers[shard], lengths[shard])

    def read(self, drawn: Words, device: torch.device) -> TextFeatures:
        """Words and sentence as the frozen encoder understands them, as long as the whole batch's longest caption: the
        processes of a data-parallel run put their shards together again."""
        with torch.no_grad():
            text = self.encoder(drawn.numbers.to(device, non_blocking=True), drawn.lengths)
        missing = drawn.numbers.shape[1] - text.words.shape[2]
        words, mask = F.pad(text.words, (0, missing)), F.pad(text.mask, (0, missing), value=True)
        return TextFeatures(words, text.sentence, mask)


def say_what_is_lost(captions: Sequence[Sequence[str]], words: bool) -> None:
    """Note what the encoder, of ``words`` or of characters, will not read of the captions of a run."""
    read = reading.by_words if words else reading.by_characters
    for sentence in read(list(chain.from_iterable(captions))):
        tqdm.write(f"note: {sentence}")


def captions_of(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    return [example.captions for example in examples]


def vocabulary(index: Index, limit: int) -> Vocabulary:
    """Every word of the first ``limit`` captions of the train images, then of the test images, as officially: words
    that only test captions use have a row that nothing ever trains."""
    examples = chain(index.split("train"), index.split("test"))
    return Vocabulary.build(chain.from_iterable(example.captions[:limit] for example in examples))
