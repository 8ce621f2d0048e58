"""R-precision: does a picture find the caption it was made from among 99 of other classes? (Xu et al., AttnGAN, CVPR
2018, section 4.1; the protocol is that of DM-GAN's code.)

The judge is DAMSM, which generators of this line are trained to please, so a high value is partly flattery: hold it
against the value of real pictures and of shuffled captions.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i import device
from t2i.data.capacity import NEGATIVES
from t2i.data.dataset import ImageTextDataset, of_other_classes, rng_for
from t2i.data.images import from_uint8
from t2i.errors import UserError
from t2i.galleries import TIE
from t2i.metrics import records
from t2i.metrics.metric import Column, Metric, note_pairs, too_few, too_few_pairs
from t2i.metrics.protocols import short
from t2i.text.encode import encode

FOLDS = 10
# By the margin of the right caption's cosine over the best other. In a tie the same caption is among the others, or one
# that reads alike: "strict" takes it for a miss, and "official" for a hit, as DM-GAN's code does (argmax == 0).
TIES = {"strict": lambda margin: margin > TIE, "official": lambda margin: margin >= -TIE}


class RPrecision(Metric):
    """R-precision of generated pictures, with their captions and with those of others."""

    name = "r_precision"
    needs = "a generator that reads words"
    judge = "damsm"
    columns = (
        Column("r_precision", "R-precision", 1, "r_precision_shuffled", "shuffled", True, "R-precision_%"),
        Column("r_precision_official", "R-precision, ties won", 1, percent=True, published="R-precision_%"),
        Column("r_precision_chance", "chance of R-precision", 1, percent=True),
    )

    def applies(self, run) -> bool:
        return not run.is_encoder and run.reads_words

    def missing(self, run) -> UserError | None:
        if run.sees_images:
            return None
        mend = "Import its text encoder with --image-encoder, then the generator again."
        return UserError(f"{run.directory.name} holds no image encoder to judge with", mend)

    def lacking(self, unseen) -> str | None:
        return too_few(unseen, classes=2)

    def protocol(self, evaluation) -> str:
        return records.judged(f"r-precision-{short(len(evaluation.captions))}", evaluation.run)

    @contextmanager
    def look(self, evaluation) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
        with device.on_device(evaluation.run.image_encoder, evaluation.run.device) as image:
            yield lambda pictures: {"codes": image_codes(image, from_uint8(pictures))}

    def measure(self, evaluation) -> dict[str, float]:
        run, classes = evaluation.run, evaluation.unseen.labels[evaluation.numbers]
        with device.on_device(run.encoder, run.device) as text:
            asked = evaluation.of_generated(self)["codes"], evaluation.captions, classes
            return of_pictures(*asked, text, evaluation.unseen, evaluation.seed, dealt=evaluation.order)


class RealRPrecision(Metric):
    """R-precision of real images by the DAMSM that is measured: what no generator should be expected to pass."""

    name = "real_r_precision"
    needs = "a damsm"
    judge = "damsm"
    columns = RPrecision.columns

    def applies(self, run) -> bool:
        return run.is_encoder and run.reads_words

    def lacking(self, unseen) -> str | None:
        return too_few_pairs(unseen, classes=2)

    def protocol(self, evaluation) -> str:
        unseen = evaluation.unseen
        of = f"-of-{len(unseen.certain)}-pairs" if len(unseen.certain) < len(unseen) else ""
        return records.judged(f"r-precision-{short(evaluation.run.config.trials)}{of}", evaluation.run)

    def measure(self, evaluation) -> dict[str, float]:
        run = evaluation.run
        note_pairs(evaluation)
        with (
            device.on_device(run.encoder, run.device) as text,
            device.on_device(run.image_encoder, run.device) as image,
        ):
            return real_r_precision(text, image, evaluation.unseen, evaluation.seed, run.config.trials)


class Share(NamedTuple):
    """Mean and standard deviation over the folds, as shares of 1; :func:`chance` says what guessing gives."""

    mean: float
    std: float


def hits(
    codes: Tensor,
    sentences: Tensor,
    classes: np.ndarray,
    pool: Tensor,
    pool_classes: np.ndarray,
    seed: int,
    ties: str = "strict",
) -> Tensor:
    """For each trial of :func:`margins`, whether the true caption has the highest cosine, by a rule of :data:`TIES`:
    (N,) bool."""
    return TIES[ties](margins(codes, sentences, classes, pool, pool_classes, seed))


def margins(
    codes: Tensor, sentences: Tensor, classes: np.ndarray, pool: Tensor, pool_classes: np.ndarray, seed: int
) -> Tensor:
    """For each trial, by how much the cosine of the true caption exceeds that of the best of 99 others: (N,).

    ``codes`` (N, D) of the pictures, ``sentences`` (N, D) of the captions they were made from, of classes (N,). The 99
    others are drawn with replacement from ``pool`` (P, D), whose classes (P,) tell which are allowed; the same ``seed``
    draws the same ones for every model.
    """
    rng, found = rng_for(seed, 0, "negative captions"), []
    for part in _parts(len(codes)):
        others = torch.from_numpy(negatives(classes[part], pool_classes, rng))
        code, own, wrong = (F.normalize(x, dim=-1) for x in (codes[part], sentences[part], pool[others]))
        best = torch.einsum("nd,nkd->nk", code, wrong).max(dim=1).values
        found.append((code * own).sum(dim=1) - best)
    return torch.cat(found)


def negatives(classes: np.ndarray, pool_classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of ``classes`` (N,) the places of 99 captions of other classes in the pool: (N, 99)."""
    return of_other_classes(pool_classes, np.repeat(classes, NEGATIVES), rng).reshape(-1, NEGATIVES)


def chance(
    captions: list[str],
    classes: np.ndarray,
    pool: list[str],
    pool_classes: np.ndarray,
    seed: int,
    ties: str = "strict",
) -> float:
    """What guessing gives against the captions that :func:`margins` draws: 0.01 where all 99 differ. A small pool gives
    the same caption more than once, which makes it easier, and the true one itself: a tie, which never counts by the
    strict rule, and by the official one whenever the guess falls on this caption."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys([*captions, *pool]))}
    own, others = (np.array([numbers[text] for text in texts]) for texts in (captions, pool))
    rng, found = rng_for(seed, 0, "negative captions"), []
    for part in _parts(len(captions)):
        drawn = np.sort(others[negatives(classes[part], pool_classes, rng)])
        different = 1 + (np.diff(drawn) > 0).sum(axis=1)
        tied = (drawn == own[part, None]).any(axis=1)
        found.append(np.where(tied, 0 if ties == "strict" else 1 / different, 1 / (1 + different)))
    return float(np.concatenate(found).mean())


def _parts(trials: int) -> list[np.ndarray]:
    """The numbers of the trials, a thousand at a time."""
    return np.array_split(np.arange(trials), -(-trials // 1000))


def fold(hits: Tensor, seed: int, rule: str = "all") -> Share:
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
    return Share(float(np.mean(means)), float(np.std(means)))


@torch.no_grad()
def image_codes(image: nn.Module, pictures: Tensor, batch_size: int = 32) -> Tensor:
    """The codes of pictures (N, 3, s, s) in [-1, 1], by an image encoder wherever it is: (N, 256), on the CPU."""
    place = next(image.parameters()).device
    return torch.cat([image(part.to(place)).code.cpu() for part in pictures.split(batch_size)])


def real_r_precision(text: nn.Module, image: nn.Module, data: ImageTextDataset, seed: int, trials: int) -> dict:
    """R-precision of the real images of ``data`` whose captions are certainly their own, by both rules of ties and of
    folds; of no such image, NaN for ``r_precision`` alone."""
    if not len(data.certain):
        return {"r_precision": math.nan}
    pictures = torch.from_numpy(data.certain).split(100)
    codes = torch.cat([image_codes(image, data.evaluation_images(part.tolist())[-1]) for part in pictures])
    chosen = np.arange(trials) % len(data.certain)
    numbers = data.certain[chosen]
    captions = [caption for (caption,) in data.captions(numbers, rng_for(seed, 0, "r-precision captions"))]
    return of_pictures(codes[chosen], captions, data.labels[numbers], text, data, seed)


def of_pictures(
    codes: Tensor,
    captions: list[str],
    classes: np.ndarray,
    text: nn.Module,
    data: ImageTextDataset,
    seed: int,
    dealt: np.ndarray | None = None,
) -> dict:
    """R-precision of pictures with ``codes`` (N, 256), drawn for ``captions`` (N) of ``classes`` (N,).

    The other captions are drawn from all those of ``data``. ``r_precision`` is strict with ties; the names of the other
    rule's figures have "official" in them. With ``dealt`` (N,), there is also an ``r_precision_shuffled``, for which
    picture k is judged by caption ``dealt[k]``.
    """
    pool = [caption for example in data.examples for caption in example.captions]
    pool_classes = np.repeat(data.labels, [len(example.captions) for example in data.examples])
    sentences = encode(text, captions + pool)
    own, others = sentences.split([len(captions), len(pool)])
    found = margins(codes, own, classes, others, pool_classes, seed)
    metrics = {}
    for ties, won in TIES.items():
        name = "r_precision" if ties == "strict" else f"r_precision_{ties}"
        for folds, ending in (("all", ""), ("published", "_published_folds")):
            share = fold(won(found), seed, folds)
            metrics |= {f"{name}{ending}": share.mean, f"{name}{ending}_std": share.std}
        metrics[f"{name}_chance"] = chance(captions, classes, pool, pool_classes, seed, ties)
    if dealt is not None:
        right = hits(codes, own[dealt], classes[dealt], others, pool_classes, seed)
        metrics["r_precision_shuffled"] = fold(right, seed).mean
    return metrics
