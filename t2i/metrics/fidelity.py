"""FID, IS and KID of generated images against real ones, by torch-fidelity under a named protocol."""

import contextlib
from pathlib import Path

import torch
import torch_fidelity
from torch import Tensor
from torch.utils.data import Dataset

from t2i import device as devices
from t2i import paths
from t2i.errors import UserError
from t2i.metrics import extractors, protocols
from t2i.metrics.metric import Column, Metric, too_few
from t2i.metrics.protocols import Protocol

_FOUND = {
    "fid": torch_fidelity.KEY_METRIC_FID,
    "is_mean": torch_fidelity.KEY_METRIC_ISC_MEAN,
    "is_std": torch_fidelity.KEY_METRIC_ISC_STD,
    "kid_mean": torch_fidelity.KEY_METRIC_KID_MEAN,
    "kid_std": torch_fidelity.KEY_METRIC_KID_STD,
}


class Fidelity(Metric):
    """FID, IS and KID under the protocol that the evaluation was asked for."""

    name = "fidelity"
    columns = (Column("fid", "FID"), Column("is_mean", "IS"), Column("kid_mean", "KID", 4))

    def lacking(self, unseen) -> str | None:
        return too_few(unseen)

    def protocol(self, evaluation) -> str:
        return evaluation.protocol.name

    def measure(self, evaluation) -> dict[str, float | int | None]:
        place = devices.choose(evaluation.run.device)
        return score(evaluation.generated, evaluation.real, evaluation.protocol, place)


class _Images(Dataset):
    """A tensor (N, 3, H, W) as torch-fidelity wants it: one bare image per item."""

    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def score(
    generated: Dataset | Tensor,
    real: Dataset | Tensor,
    protocol: Protocol | str,
    device: str | torch.device = "cpu",
    *,
    cache_name: str | None = None,
    batch_size: int = 64,
    weights: Path | str | None = None,
) -> dict[str, float | int | None]:
    """FID, IS (mean and std over splits) and KID (mean and std over subsets), with the counts they rest on.

    Both inputs are uint8 images: a tensor (N, 3, H, W), or a dataset of images (3, H, W). ``cache_name`` keeps the real
    images' features under that name and their count; ``weights`` is a weights file of the extractor. ``is_mean`` and
    ``is_std`` are None where the protocol has no IS. Raises :class:`UserError` where the number of generated images is
    not the protocol's, where there are fewer than two real ones, and where weights are missing. torch's random
    generator is left as it was.
    """
    protocol = protocols.get(protocol) if isinstance(protocol, str) else protocol
    generated, real = _dataset(generated, "generated"), _dataset(real, "real")
    if len(generated) != protocol.images:
        problem = f"{protocol.name} is defined on {protocol.images:,} generated images and got {len(generated):,}"
        raise UserError(problem, "Generate as many, or choose a protocol of another count.")
    extractors.register()
    device = torch.device(device)
    subset = min(protocol.kid_subset_size, len(generated), len(real))
    with (
        torch.random.fork_rng(devices=[]),  # a data loader draws from the global generator whenever it is iterated
        torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext(),
    ):
        found = torch_fidelity.calculate_metrics(
            input1=generated,
            input2=real,
            fid=True,
            isc=protocol.isc_layer is not None,
            kid=True,
            feature_extractor=protocol.extractor,
            feature_extractor_weights_path=weights,
            feature_layer_fid=protocol.fid_layer,
            feature_layer_kid=protocol.fid_layer,
            feature_layer_isc=protocol.isc_layer,
            isc_splits=protocol.isc_splits,
            kid_subset_size=subset,
            rng_seed=protocol.seed,
            batch_size=batch_size,
            cuda=device.type == "cuda",
            cache=cache_name is not None,
            cache_root=str(paths.cache_root() / "fidelity"),
            input2_cache_name=cache_name and f"{cache_name}-{len(real)}",
            save_cpu_ram=True,  # no worker processes: they cost more than they save here, and need a __main__ guard
            verbose=False,
        )
    counts = {"kid_subset_size": subset, "generated_count": len(generated), "real_count": len(real)}
    return {name: found.get(key) for name, key in _FOUND.items()} | counts


def _dataset(images: Dataset | Tensor, what: str) -> Dataset:
    images = _Images(images) if isinstance(images, Tensor) else images
    if len(images) < 2:
        problem = f"A covariance needs at least two {what} images, and there are {len(images)}"
        raise UserError(problem, "Check the split with python -m t2i data check, or generate more.")
    first = images[0]
    if not isinstance(first, Tensor) or first.dtype != torch.uint8 or first.dim() != 3 or first.shape[0] != 3:
        kind = f"{tuple(first.shape)} {first.dtype}" if isinstance(first, Tensor) else type(first).__name__
        problem = f"The {what} images are to be uint8 of shape (3, H, W), and the first is {kind}"
        raise UserError(problem, "Convert them first: floats in [-1, 1] by ((x + 1) * 127.5).byte().")
    return images
