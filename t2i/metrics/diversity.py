"""Diversity: do eight noises give eight pictures? A collapsed generator may have a fine FID and name every colour."""

import torch
from torch import Tensor

from t2i.data.images import to_uint8
from t2i.metrics.metric import Column, Metric

CAPTIONS, NOISES = 20, 8


class Diversity(Metric):
    """How far apart the pictures of one caption are, in units of how far apart real pictures are: 0 where noise changes
    nothing, about 1 where the pictures of a caption differ as much as those of any two birds."""

    name = "diversity"
    columns = (Column("diversity", "diversity per caption", 2),)

    def protocol(self, evaluation) -> str:
        return f"diversity-{CAPTIONS}x{NOISES}"

    def measure(self, evaluation) -> dict[str, float | None]:
        captions = list(dict.fromkeys(evaluation.captions))[:CAPTIONS]
        drawn = evaluation.run.sample(captions, NOISES, evaluation.seed).unflatten(0, (len(captions), NOISES))
        numbers = range(min(CAPTIONS * NOISES, len(evaluation.unseen)))
        real = distance(to_uint8(evaluation.unseen.evaluation_images(numbers)[-1]))
        return {"diversity": sum(map(distance, drawn)) / len(drawn) / real if real else None}


def distance(images: Tensor) -> float:
    """The mean over all pairs of uint8 images (N, 3, s, s) of the root of their mean squared difference; 0 for one."""
    flat = images.flatten(1).double()
    pairs = torch.pdist(flat) / flat.shape[1] ** 0.5
    return pairs.mean().item() if len(pairs) else 0.0
