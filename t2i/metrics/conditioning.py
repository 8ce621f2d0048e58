"""Does the caption matter? Every conditional model is asked twice: with its captions, and with the captions shuffled.

A generator that ignores its text can have a fine FID; the report behind lesson 04 found out only after its last run
that its encoder had never been linked to the GAN.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.metrics import records
from t2i.metrics.metric import Column, Metric, note_pairs, too_few_pairs
from t2i.training.run import Run

PAIRS = 500  # of unseen images, at most


class Matching(Metric):
    """What the last discriminator makes of right and wrong pairs of real images and captions."""

    name = "matching"
    needs = "a GAN with its discriminators"
    columns = (
        Column("matching_score", "D's score of real pairs", 1, "matching_score_shuffled", "of shuffled pairs", True),
    )

    def applies(self, run: Run) -> bool:
        return not run.is_encoder and bool(run.state["networks"]["discriminators"])  # an import may come without

    def lacking(self, unseen) -> str | None:
        return too_few_pairs(unseen)

    def protocol(self, evaluation) -> str:
        return records.judged(f"matching-{min(PAIRS, len(evaluation.unseen.certain))}", evaluation.run)

    def measure(self, evaluation) -> dict[str, float]:
        note_pairs(evaluation)
        return matching_scores(evaluation.run, evaluation.unseen, evaluation.seed)


def shuffle(captions: Sequence[str], seed: int) -> list[str]:
    """The captions dealt anew so that none stays in its place (where there are at least two)."""
    order = rng_for(seed, 0, "shuffled captions").permutation(len(captions))
    dealt = list(captions)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        dealt[here] = captions[there]
    return dealt


@torch.inference_mode()
def matching_scores(run: Run, unseen: ImageTextDataset, seed: int, limit: int = PAIRS) -> dict[str, float]:
    """What the last discriminator makes of unseen real images whose captions are certainly their own, with these, and
    with another image's.

    Returns the mean probability it gives to (real, right) and to (real, shuffled) pairs, and how often an image's right
    caption scores higher than the shuffled one (chance 0.5).
    """
    chosen = rng_for(seed, 0, "matching").permutation(unseen.certain)[:limit]
    captions = [caption for (caption,) in unseen.captions(chosen, rng_for(seed, 0, "matching captions"))]
    discriminator = copy.deepcopy(run.discriminators[-1])  # spectral norm moves on with every look
    right, wrong = [], []
    dealt = shuffle(captions, seed)
    for part in np.array_split(np.arange(len(chosen)), -(-len(chosen) // run.batch_size)):
        features = discriminator.features(unseen.evaluation_images(chosen[part])[-1])
        for scores, texts in ((right, captions), (wrong, dealt)):
            scores.append(discriminator.conditional(features, run.condition([texts[i] for i in part])))
    right, wrong = torch.cat(right), torch.cat(wrong)
    return {
        "matching_score": right.sigmoid().mean().item(),
        "matching_score_shuffled": wrong.sigmoid().mean().item(),
        "matching_accuracy": (right > wrong).double().mean().item(),
    }
