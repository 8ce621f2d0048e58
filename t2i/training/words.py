"""Captions as word numbers: what the text encoders and generators that read words are trained on."""

from itertools import chain

import numpy as np
from torch import Tensor

from t2i.data.captions import Vocabulary, pad
from t2i.data.index import Example, Index


class WordTable:
    """The word numbers of the first ``limit`` captions of every image of a set."""

    def __init__(self, examples: list[Example], vocabulary: Vocabulary, limit: int):
        self.numbers = [[vocabulary.encode(caption) for caption in example.captions[:limit]] for example in examples]

    def draw(self, indices: np.ndarray, words: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One caption for each image: (B, T) with T at most ``words``, and lengths (B,)."""
        chosen = [self.numbers[index][rng.integers(len(self.numbers[index]))] for index in indices]
        return pad(chosen, min(words, max(map(len, chosen))), rng)


def vocabulary(index: Index, limit: int) -> Vocabulary:
    """Every word of the first ``limit`` captions of the train images, then of the test images, as officially: words
    that only test captions use have a row that nothing ever trains."""
    examples = chain(index.split("train"), index.split("test"))
    return Vocabulary.build(chain.from_iterable(example.captions[:limit] for example in examples))
