"""What FID and KID would be of pictures that are real: of the right classes, and of wrong ones."""

import numpy as np
import torch
from torch import Tensor

from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.metrics.fidelity import Fidelity, features, frechet_distance, kernel_distance
from t2i.metrics.metric import Metric, too_few

LEAST = 4  # unseen images: two halves of two


class References(Metric):
    """FID and KID, under the evaluation's protocol, of one half of the unseen images against the other; and of as many
    images of the classes to learn from as the protocol has pictures, or all, against all unseen ones. What a model gets
    lies between the two if it draws real-looking pictures of what it is asked for; FIDs depend on the counts, which the
    record says, KIDs do not."""

    name = "references"
    needs = "a generator that is measured by EfficientNet-Lite0"

    def applies(self, run) -> bool:
        return not run.is_encoder and run.config.evaluation_protocol.endswith("-lite0")

    def lacking(self, unseen) -> str | None:
        learned = len(unseen.index.split("train"))
        few = f"it takes two images to learn from, and there is {learned}" if learned < 2 else None
        return too_few(unseen, images=LEAST) or few

    def protocol(self, evaluation) -> str:
        return f"references-{evaluation.protocol.name}"

    def measure(self, evaluation) -> dict[str, float]:
        unseen, protocol = evaluation.unseen, evaluation.protocol
        real = Fidelity().real_features(evaluation)
        order = rng_for(evaluation.seed, 0, "halves of unseen images").permutation(len(unseen))
        halves = [real[np.sort(part)] for part in np.array_split(order, 2)]
        limit = dict(limit=protocol.images)
        wrong = ImageTextDataset.from_config(evaluation.run.config, unseen.index, "train", **limit)
        found: dict[str, float] = {}
        for name, (ours, theirs) in {"halves": halves, "wrong_classes": (_features(wrong, evaluation), real)}.items():
            found[f"fid_{name}"] = frechet_distance(ours, theirs)
            found[f"kid_{name}"] = kernel_distance(ours, theirs, protocol)["kid_mean"]
            evaluation.notes[f"references_{name}"] = f"{len(ours):,} images against {len(theirs):,}"
        return found


def _features(images: ImageTextDataset, evaluation) -> Tensor:
    """Those of the middle crops of all ``images``, by the evaluation's extractor: (N, D)."""
    layer = evaluation.protocol.fid_layer
    return torch.cat([features(evaluation.extractor, crops)[layer] for crops in images.middles()])
