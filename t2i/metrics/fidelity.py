"""FID, IS, KID, precision and recall of generated images, under a named protocol.

A picture is needed only until its features are known: those of 30,000 pictures take 245 MB where the pictures, at
256 px, take 6 GB. The figures are made of features by torch-fidelity's functions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from t2i import kept
from t2i.errors import UserError
from t2i.metrics import extractors, protocols
from t2i.metrics.metric import Column, Metric, too_few
from t2i.metrics.protocols import Protocol

BATCH = 32  # pictures that an extractor sees at once: at 299 px a network such as Inception needs 20 MB for each
NEIGHBOURS = 3  # k of precision and recall
_ROWS = 4096  # features that are taken to float64 at once
_DISTANCES = 1 << 23  # between features, of a block that is in memory at once


class Fidelity(Metric):
    """FID, IS, KID, precision and recall under the protocol that the evaluation was asked for."""

    name = "fidelity"
    columns = (
        Column("fid", "FID"),
        Column("is_mean", "IS"),
        Column("kid_mean", "KID", 4),
        Column("precision", "precision", 1, percent=True),
        Column("recall", "recall", 1, percent=True),
    )

    def lacking(self, unseen) -> str | None:
        return too_few(unseen)

    def protocol(self, evaluation) -> str:
        return evaluation.protocol.name

    @contextmanager
    def look(self, evaluation) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
        yield lambda pictures: features(evaluation.extractor, pictures)

    def measure(self, evaluation) -> dict[str, float | int | None]:
        generated = evaluation.of_generated(self)
        real = self.real_features(evaluation) if evaluation.protocol.fid_layer else None
        if real is not None and (note := low_rank(generated[evaluation.protocol.fid_layer], real)):
            evaluation.notes["fid"] = note
        return figures(generated, real, evaluation.protocol)

    def real_features(self, evaluation) -> Tensor:
        """The features of the unseen images, (M, D), kept on disk under everything that they depend on."""
        layer = evaluation.protocol.fid_layer
        return kept.features(kept_in(evaluation), len(evaluation.unseen), lambda: evaluation.of_real(self)[layer])


def kept_in(evaluation) -> Path:
    """Where the features of the unseen images are kept, under the extractor's weights and the layer as well."""
    protocol = evaluation.protocol
    return kept.place(
        evaluation.unseen, protocol.extractor, protocol.fid_layer, extractors.digest(evaluation.extractor)
    )


@torch.no_grad()
def features(extractor: FeatureExtractorBase, pictures: Tensor) -> dict[str, Tensor]:
    """What ``extractor``, wherever it is, makes of uint8 pictures (N, 3, H, W): layer -> (N, D), on the CPU."""
    place = extractors.place(extractor)
    made = [extractor.convert_features_tuple_to_dict(extractor(part.to(place))) for part in pictures.split(BATCH)]
    return {layer: torch.cat([part[layer].float().cpu() for part in made]) for layer in extractor.features_list}


def figures(generated: dict[str, Tensor], real: Tensor | None, protocol: Protocol) -> dict[str, float | int | None]:
    """FID, IS (mean and std over splits), KID (mean and std over subsets), precision and recall of the features of
    generated pictures (layer -> (N, D)) and of real ones (M, D); None for what the protocol or the counts do not
    allow."""
    found: dict[str, float | int | None] = {"fid": None, "is_mean": None, "is_std": None}
    if protocol.isc_layer:
        found |= inception_score(generated[protocol.isc_layer], protocol.isc_splits, protocol.seed)
    if protocol.fid_layer:
        drawn = generated[protocol.fid_layer]
        found |= {"fid": frechet_distance(drawn, real)} | kernel_distance(drawn, real, protocol)
        found |= precision_and_recall(drawn, real)
    return found


def inception_score(logits: Tensor, splits: int, seed: int) -> dict[str, float]:
    """Salimans et al. (2016): the exponential of the mean divergence of p(y|x) from p(y), over shuffled splits."""
    order = np.random.RandomState(seed).permutation(len(logits))
    ends = [k * len(logits) // splits for k in range(splits + 1)]
    scores = [  # each split alone: float64 of all classes of all pictures would take as much as the pictures' features
        metric_isc.isc_features_to_metric(logits[order[start:end]], splits=1, shuffle=False)
        for start, end in pairwise(ends)
    ]
    scores = [score[metric_isc.KEY_METRIC_ISC_MEAN] for score in scores]
    return {"is_mean": float(np.mean(scores)), "is_std": float(np.std(scores))}


def frechet_distance(ours: Tensor, theirs: Tensor) -> float:
    """FID, Heusel et al. (2017), equation 6, of two sets of features (N, D) and (M, D)."""
    found = metric_fid.fid_statistics_to_metric(statistics(ours), statistics(theirs), verbose=False)
    return found[metric_fid.KEY_METRIC_FID]


def kernel_distance(ours: Tensor, theirs: Tensor, protocol: Protocol) -> dict[str, float | int]:
    """KID, Binkowski et al. (2018), of two sets of features (N, D) and (M, D): mean and std over the protocol's
    subsets, and their size."""
    subset = min(protocol.kid_subset_size, len(ours), len(theirs))
    options = {"kid_subset_size": subset, "rng_seed": protocol.seed, "verbose": False}
    found = metric_kid.kid_features_to_metric(ours, theirs, **options)
    keys = {"kid_mean": metric_kid.KEY_METRIC_KID_MEAN, "kid_std": metric_kid.KEY_METRIC_KID_STD}
    return {name: found[key] for name, key in keys.items()} | {"kid_subset_size": subset}


def statistics(features: Tensor) -> dict[str, np.ndarray]:
    """Mean (D,) and covariance (D, D) of features (N, D), summed in float64 and in parts, so that they never stand in
    memory as float64."""
    parts, width = features.split(_ROWS), features.shape[1]
    mean = sum(part.double().sum(dim=0) for part in parts) / len(features)
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for part in parts:
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred)
    return {"mu": mean.numpy(), "sigma": (covariance / (len(features) - 1)).numpy()}


def precision_and_recall(drawn: Tensor, real: Tensor) -> dict[str, float | None]:
    """Kynkäänniemi et al. (2019), k = 3: the share of drawn pictures within the balls that reach from each real one to
    its third neighbour, and of real ones within those of the drawn. The features are the protocol's, not the VGG-16's
    of the paper; None where a set has no third neighbour."""
    if min(len(drawn), len(real)) <= NEIGHBOURS:
        return {"precision": None, "recall": None}
    block = max(1, _DISTANCES // max(len(drawn), len(real)))
    options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": block, "save_cpu_ram": True, "verbose": False}
    found = metric_prc.prc_features_to_metric(drawn, real, **options)
    return {name: found[name] for name in ("precision", "recall")}


def low_rank(drawn: Tensor, real: Tensor) -> str | None:
    """What to say of a FID between sets of which one has no more pictures than there are features."""
    few, width = min(len(drawn), len(real)), drawn.shape[1]
    if few > width:
        return None
    return f"{few:,} pictures span no space of {width:,} features: the FID is far above that of many pictures"


def score(
    generated: Dataset | Tensor,
    real: Dataset | Tensor,
    protocol: Protocol | str,
    device: str | torch.device = "cpu",
    *,
    weights: Path | str | None = None,
) -> dict[str, float | int | None]:
    """FID, IS (mean and std over splits), KID (mean and std over subsets), precision and recall, with the counts they
    rest on.

    Both inputs are uint8 images: a tensor (N, 3, H, W), or a dataset of images (3, H, W), which are read one after the
    other. ``weights`` is a weights file of the extractor. ``is_mean`` and ``is_std`` are None where the protocol has no
    IS. Raises :class:`UserError` where the number of generated images is not the protocol's, where there are fewer than
    two real ones, and where weights are missing. torch's random generator is left as it was.
    """
    protocol = protocols.get(protocol) if isinstance(protocol, str) else protocol
    for images, what in ((generated, "generated"), (real, "real")):
        _check(images, what)
    if len(generated) != protocol.images:
        problem = f"{protocol.name} is defined on {protocol.images:,} generated images and got {len(generated):,}"
        raise UserError(problem, "Generate as many, or choose a protocol of another count.")
    extractor = extractors.load(protocol, device, weights)
    ours, theirs = (_features_of_all(extractor, images) for images in (generated, real))
    counts = {"generated_count": len(generated), "real_count": len(real)}
    return figures(ours, theirs.get(protocol.fid_layer), protocol) | counts


def _features_of_all(extractor: FeatureExtractorBase, images: Dataset | Tensor) -> dict[str, Tensor]:
    starts = range(0, len(images), BATCH)
    batches = (torch.stack([images[k] for k in range(i, min(i + BATCH, len(images)))]) for i in starts)
    made = [features(extractor, batch) for batch in batches]
    return {layer: torch.cat([part[layer] for part in made]) for layer in extractor.features_list}


def _check(images: Dataset | Tensor, what: str) -> None:
    if len(images) < 2:
        problem = f"A covariance needs at least two {what} images, and there are {len(images)}"
        raise UserError(problem, "Check the split with python -m t2i data check, or generate more.")
    first = images[0]
    if not isinstance(first, Tensor) or first.dtype != torch.uint8 or first.dim() != 3 or first.shape[0] != 3:
        kind = f"{tuple(first.shape)} {first.dtype}" if isinstance(first, Tensor) else type(first).__name__
        problem = f"The {what} images are to be uint8 of shape (3, H, W), and the first is {kind}"
        raise UserError(problem, "Convert them first: floats in [-1, 1] by ((x + 1) * 127.5).byte().")
