"""Captions as characters: the 70-letter alphabet and 201 positions of Char-CNN-RNN."""

from collections.abc import Iterable, Sequence

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
    (``lowercase=False, unknown=""``: an unknown character is nothing). Raises :class:`UserError` for a text of which
    nothing is read.
    """
    symbols = torch.zeros(len(texts), length, dtype=torch.int64)
    for row, text in zip(symbols, texts, strict=True):
        if not text.strip():
            raise UserError(f"The caption {text!r} is blank", "Write at least one word.")
        written, text = text, text.lower() if lowercase else text
        if nothing_read(text, length):
            quoted = repr(written if len(written) <= 80 else f"{written[:77]}...")
            mend = f"Write it in English: a to z, digits and common signs are read, up to {length} of them."
            raise UserError(f"Of the caption {quoted} nothing is read", mend)
        numbers = [_SYMBOLS.get(symbol, _SYMBOLS.get(unknown, 0)) for symbol in text[:length]]
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return symbols


def unread(text: str, length: int = LENGTH) -> list[str]:
    """The different characters among the first ``length`` of a text that are in no alphabet, in their order; blanks of
    every kind are read as a blank."""
    return list(dict.fromkeys(symbol for symbol in text[:length] if symbol not in _SYMBOLS and not symbol.isspace()))


def listed(parts: Iterable[str], most: int = 8) -> str:
    """Up to ``most`` words or characters for a sentence; those that cannot be seen by their numbers."""
    different = list(dict.fromkeys(parts))
    shown = ", ".join(part if part.isprintable() else f"U+{ord(part[0]):04X}" for part in different[:most])
    return shown + (f" and {len(different) - most} more" if len(different) > most else "")


def nothing_read(text: str, length: int = LENGTH) -> bool:
    """Whether a lowered text has no letter or digit of the alphabet among its first ``length``, but others, or none at
    all: what is written in another script, emoji, characters without width."""
    read = text[:length]
    known = any(symbol in _SYMBOLS and symbol.isalnum() for symbol in read)
    return not known and (bool(unread(text, length)) or not read.strip())
