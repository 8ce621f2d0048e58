"""Captions as characters: the 70-letter alphabet and 201 positions of Char-CNN-RNN."""

from collections.abc import Sequence

import torch
from torch import Tensor

from t2i.errors import UserError

# '-' stands twice in Reed's table; filling the look-up from left to right leaves it at 60, and symbol 37 never occurs.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
LENGTH = 201
_SYMBOLS = {symbol: number for number, symbol in enumerate(ALPHABET, start=1)}


def characters(texts: Sequence[str], length: int = LENGTH, lowercase: bool = True, unknown: str = " ") -> Tensor:
    """Texts as symbols of the alphabet: (B, length) int64, 1 to 70, and 0 for nothing.

    What lies beyond ``length`` is cut. The defaults are those of the PyTorch port whose weights are in circulation:
    lowered, an unknown character becomes a space. Reed's own code neither lowers nor replaces
    (``lowercase=False, unknown=""``: an unknown character is nothing). Raises :class:`UserError` for a blank text.
    """
    symbols = torch.zeros(len(texts), length, dtype=torch.int64)
    for row, text in zip(symbols, texts, strict=True):
        if not text.strip():
            raise UserError(f"The caption {text!r} is blank", "Write at least one word.")
        text = text.lower() if lowercase else text
        numbers = [_SYMBOLS.get(symbol, _SYMBOLS.get(unknown, 0)) for symbol in text[:length]]
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return symbols
