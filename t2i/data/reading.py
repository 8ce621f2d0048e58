"""How much of the captions of a set the two kinds of text encoders read."""

from collections.abc import Iterable, Sequence
from itertools import chain

from t2i.data.captions import lost, tokenise
from t2i.text.characters import LENGTH, listed, unread


def by_characters(captions: Sequence[str]) -> list[str]:
    """What an encoder of characters does not read of ``captions``: a sentence for each kind of loss."""
    signs = [unread(caption.lower()) for caption in captions]
    return [
        *_counted(
            (len(caption) > LENGTH for caption in captions), f"longer than the {LENGTH} characters that are read"
        ),
        *_counted(signs, f"written with characters that are read as blanks ({listed(chain(*signs))})"),
    ]


def by_words(captions: Sequence[str], words: int | None = None) -> list[str]:
    """What an encoder of words does not read of ``captions``, likewise; with ``words`` also how many captions are
    longer than the so many words that a batch takes of each."""
    parts = [lost(caption) for caption in captions]
    long = _counted(
        (len(tokenise(caption)) > (words or len(caption)) for caption in captions),
        f"longer than {words} words, of which a batch takes so many at random",
    )
    strange = f"written with words or signs that are not read so ({listed(chain(*parts))})"
    return [*long, *_counted(parts, strange)]


def _counted(losses: Iterable, what: str) -> list[str]:
    losses = [bool(loss) for loss in losses]
    count = sum(losses)
    return [f"{count:,} of {len(losses):,} captions {'is' if count == 1 else 'are'} {what}"] if count else []
