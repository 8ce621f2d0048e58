"""Class consistency: is what was drawn for a caption of a class seen as one of that class?

For photographs, whose attributes nobody wrote down. The judge is a classifier that no model is trained to please: the
nearest mean of the real unseen images of a class, in the features of EfficientNet-Lite0.
"""

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from t2i import device, lite0
from t2i.data import DATASETS
from t2i.data.dataset import rng_for
from t2i.data.images import from_uint8
from t2i.metrics.metric import Column, Metric, too_few


class ClassConsistency(Metric):
    """How often a picture is taken for one of its caption's class; of another caption's; and, of real images, how often
    each half is when the other gives the means. Chance is 1 / classes."""

    name = "class_consistency"
    needs = "a generator of photographs"
    columns = (
        Column(
            "class_consistency", "class seen", 1, "class_consistency_shuffled", "with captions shuffled", percent=True
        ),
        Column("class_consistency_real", "class seen in real images", 1, percent=True),
    )

    def applies(self, run) -> bool:
        return not run.is_encoder and DATASETS[run.config.dataset].attributes is None

    def lacking(self, unseen) -> str | None:
        counts = np.bincount(unseen.labels)
        if len(counts) > 1 and counts.min() < 2:
            return "it takes two unseen images of each class"
        return too_few(unseen, classes=2)

    def protocol(self, evaluation) -> str:
        classes = int(evaluation.unseen.labels.max()) + 1
        return f"class-{classes}-{lite0.NAME}-{len(evaluation.captions)}"

    def look(self, evaluation):
        place = device.choose(evaluation.run.device)
        return nullcontext(lambda pictures: {"features": features(from_uint8(pictures), place)})

    def measure(self, evaluation) -> dict[str, float]:
        unseen = evaluation.unseen
        drawn, real = (shown["features"] for shown in (evaluation.of_generated(self), evaluation.of_real(self)))
        labels, asked = torch.from_numpy(unseen.labels), torch.from_numpy(unseen.labels[evaluation.numbers])
        seen = nearest(drawn, means(real, labels))
        return {
            "class_consistency": (seen == asked).double().mean().item(),
            "class_consistency_shuffled": (seen == asked[evaluation.order]).double().mean().item(),
            "class_consistency_real": of_halves(real, labels, evaluation.seed),
            "class_consistency_chance": 1 / (int(labels.max()) + 1),
        }


def features(images: Tensor, place: str | torch.device) -> Tensor:
    """Lite0's features of images (B, 3, s, s) in [-1, 1], brought to length one: (B, 1280), on the CPU."""
    return F.normalize(lite0.embed(images.to(place))[0].cpu(), dim=1)


def means(features: Tensor, labels: Tensor) -> Tensor:
    """The mean features (C, D) of each of the classes 0 to C - 1, of features (N, D) with labels (N,)."""
    counts = torch.bincount(labels)
    return torch.zeros(len(counts), features.shape[1]).index_add_(0, labels, features) / counts[:, None]


def nearest(features: Tensor, means: Tensor) -> Tensor:
    """For each of features (N, D) which of the means (C, D) is nearest: (N,)."""
    return torch.cdist(features, means).argmin(dim=1)


def of_halves(features: Tensor, labels: Tensor, seed: int) -> float:
    """How often real images are taken for their own class by the means of other images: each class is cut in two at
    random, and either half is classified by the other."""
    order = rng_for(seed, 0, "halves of classes").permutation(len(labels))
    order = order[np.argsort(labels.numpy()[order], kind="stable")]  # class by class, in random order inside
    halves, right = (torch.from_numpy(order[0::2].copy()), torch.from_numpy(order[1::2].copy())), 0
    for ours, theirs in (halves, halves[::-1]):
        found = nearest(features[ours], means(features[theirs], labels[theirs]))
        right += int((found == labels[ours]).sum())
    return right / len(labels)
