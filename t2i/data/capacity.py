"""What a data set can carry: which figures and which losses it has enough images, classes and captions for."""

import numpy as np

from t2i.data.dataset import dense_labels
from t2i.data.index import Example, Index

NEGATIVES = 99  # captions of other classes among which R-precision seeks the right one
FEW = 2000  # real images below which FID says more of their number than of the model
LESSONS = 12  # images from which on every lesson runs


def capacity(index: Index) -> list[str]:
    """A sentence for each thing that a model is trained or measured with, saying what there is for it, or that it
    cannot be had and why."""
    train, test = index.split("train"), index.split("test")
    return [_wrong_pairs(train), _fidelity(test), _r_precision(test), _zero_shot(test), _lessons(index.examples)]


def guessing(captions: int) -> float:
    """R-precision's chance where 99 are drawn from so many different captions, with replacement: 0.01 from many."""
    return 1 / (1 + captions * (1 - (1 - 1 / captions) ** NEGATIVES))


def _wrong_pairs(train: list[Example]) -> str:
    of = len(set(dense_labels(train)))
    if len(train) < 2:
        return f"wrong pairs: not to be had, because it takes two train images (here: {len(train)})"
    if of == 1:
        return "wrong pairs: of other images, because all train images are of one class"
    return "wrong pairs: of other images" if of == len(train) else f"wrong pairs: among {of} train classes"


def _fidelity(test: list[Example]) -> str:
    if len(test) < 2:
        return f"FID and KID: not to be had, because it takes two test images (here: {len(test)})"
    doubt = f", which is few: below {FEW:,} they depend on the number" if len(test) < FEW else ""
    return f"FID and KID: against {len(test):,} real images{doubt}"


def _r_precision(test: list[Example]) -> str:
    numbers = dense_labels(test)
    if len(set(numbers)) < 2:
        return "R-precision: not to be had, because it takes two test classes, or two test images without a class"
    counts = np.bincount(numbers, [len(set(example.captions)) for example in test])
    others = counts.sum() - counts
    chance = np.mean([guessing(others[number]) for number in numbers])
    return f"R-precision: guessing gives about {chance:.2g}"


def _zero_shot(test: list[Example]) -> str:
    of = len(set(dense_labels(test)))
    if of < 2:
        return "zero-shot accuracy: not to be had, because it takes two test classes"
    return f"zero-shot accuracy: among {of:,} {'images' if of == len(test) else 'classes'}, guessing gives {1 / of:.2g}"


def _lessons(examples: list[Example]) -> str:
    few = f"made for {LESSONS} images and more (here: {len(examples)})"
    return f"lessons: {'all of them' if len(examples) >= LESSONS else few}"
