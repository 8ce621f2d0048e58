"""R-precision: does a picture find the caption it was made from among 99 of other classes? (Xu et al., AttnGAN, CVPR
2018, section 4.1; the protocol is that of DM-GAN's code.)

The judge is DAMSM, which generators of this line are trained to please, so a high value is partly flattery: hold it
against the value of real pictures and of shuffled captions.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from t2i.data.dataset import of_other_classes, rng_for

NEGATIVES = 99
FOLDS = 10
TIE = 1e-6  # cosines nearer than this are equal: the same caption, read in another batch, differs by its rounding


class RPrecision(NamedTuple):
    """Mean and standard deviation over the folds, as shares of 1; chance is 0.01."""

    mean: float
    std: float


def hits(
    codes: Tensor, sentences: Tensor, classes: np.ndarray, pool: Tensor, pool_classes: np.ndarray, seed: int
) -> Tensor:
    """For each trial, whether the true caption has the highest cosine: (N,) bool.

    ``codes`` (N, D) of the pictures, ``sentences`` (N, D) of the captions they were made from, of classes (N,). The 99
    others are drawn with replacement from ``pool`` (P, D), whose classes (P,) tell which are allowed; the same ``seed``
    draws the same ones for every model. A tie counts as a miss.
    """
    codes, sentences, pool = (F.normalize(part, dim=1) for part in (codes, sentences, pool))
    rng, found = rng_for(seed, 0, "negative captions"), []
    for part in np.array_split(np.arange(len(codes)), -(-len(codes) // 1000)):
        others = torch.from_numpy(negatives(classes[part], pool_classes, rng))
        wrong = torch.einsum("nd,nkd->nk", codes[part], pool[others])
        found.append((codes[part] * sentences[part]).sum(dim=1) > wrong.max(dim=1).values + TIE)
    return torch.cat(found)


def negatives(classes: np.ndarray, pool_classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of ``classes`` (N,) the places of 99 captions of other classes in the pool: (N, 99)."""
    return of_other_classes(pool_classes, np.repeat(classes, NEGATIVES), rng).reshape(-1, NEGATIVES)


def fold(hits: Tensor, seed: int, rule: str = "all") -> RPrecision:
    """Shuffle the trials into ten folds, and give mean and standard deviation of the folds' means.

    ``rule`` "all" uses every trial. "published" is DM-GAN's: it takes the slice [3000i : 3000(i + 1) − 1] for a fold,
    so that each loses its last trial.
    """
    order = rng_for(seed, 0, "folds").permutation(len(hits))
    if rule == "published":
        size = len(hits) // FOLDS
        folds = [order[k * size : (k + 1) * size - 1] for k in range(FOLDS)]
    else:
        folds = np.array_split(order, FOLDS)
    means = [hits[part].double().mean() for part in folds]
    return RPrecision(float(np.mean(means)), float(np.std(means)))
