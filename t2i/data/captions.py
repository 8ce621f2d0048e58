"""Captions as words: the official tokenisation and the vocabulary of the DAMSM line (characters: ``t2i.text``)."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from t2i.errors import UserError

_WORD = re.compile(r"\w+")
_LOST = "\ufffd\ufffd"  # how a non-ascii space was mangled in five of CUB's caption files


def read_lines(text: str) -> list[str]:
    """The captions of a caption file: its lines that are not blank."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def tokenise(caption: str) -> list[str]:
    r"""The words of a caption, exactly as AttnGAN and DM-GAN cut them.

    A pair of U+FFFD becomes a space, everything is lowered, a word is a run of ``\w``, and non-ascii characters are
    dropped from inside the words ("café" becomes "caf"). Released vocabularies and weights depend on these quirks.
    """
    words = _WORD.findall(caption.replace(_LOST, " ").lower())
    return [word for word in (w.encode("ascii", "ignore").decode("ascii") for w in words) if word]


def lost(caption: str) -> list[str]:
    """The words of ``caption`` that :func:`tokenise` drops or shortens, and its emoji and other pictures."""
    caption = caption.replace(_LOST, " ")
    words = [word for word in _WORD.findall(caption.lower()) if not word.isascii()]
    pictures = [sign for sign in caption if not sign.isascii() and unicodedata.category(sign) == "So"]
    return list(dict.fromkeys([*words, *pictures]))


class Vocabulary:
    """Words and their numbers: from 1 in first-seen order; 0 is ``<end>``, which pads and is never appended."""

    END = "<end>"

    def __init__(self, words: Iterable[str]):
        self.words = [self.END, *dict.fromkeys(words)]
        self.ids = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions: Iterable[str]) -> "Vocabulary":
        """The vocabulary of ``captions``; the official order is that of the train captions, then the test captions."""
        return cls(word for caption in captions for word in tokenise(caption))

    def __len__(self) -> int:
        """The number of rows of an embedding, ``<end>`` included."""
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """The numbers of the known words of ``caption``; :class:`UserError` where it has none."""
        numbers = [self.ids[word] for word in tokenise(caption) if word in self.ids]
        if not numbers:
            known = ", ".join(self.words[1:6])
            raise UserError(
                f"The caption {_quote(caption)} holds no word of the vocabulary",
                f"Write it with some of the {len(self) - 1} words that the model has learned, such as: {known}.",
            )
        return numbers

    def unknown(self, caption: str) -> list[str]:
        """The words of ``caption`` that :meth:`encode` drops."""
        return [word for word in tokenise(caption) if word not in self.ids]


def pad(captions: Sequence[Sequence[int]], words: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Encoded captions as one (B, words) int64 tensor padded with 0, and their lengths (B,).

    A longer caption keeps a random subset of its positions in their order, as in the official code, so that over an
    epoch no part of it goes unseen.
    """
    padded = torch.zeros(len(captions), words, dtype=torch.int64)
    for row, numbers in zip(padded, captions, strict=True):
        if len(numbers) > words:
            kept = np.sort(rng.permutation(len(numbers))[:words])
            numbers = [numbers[position] for position in kept]
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return padded, torch.tensor([min(len(numbers), words) for numbers in captions])


def _quote(caption: str) -> str:
    return repr(caption if len(caption) <= 80 else caption[:77] + "...")
