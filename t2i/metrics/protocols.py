"""Named protocols: everything besides the pictures that a FID, an IS or a KID depends on.

FIDs of different protocols never share a column. The estimate is biased by the number of images: the fewer, the
larger. And every extractor has a scale of its own: by its README, DM-GAN's released CUB model has a FID of 15.34 under
"PyTorch" and of 11.91 under TensorFlow, the same pictures. So the name of a protocol carries both, count and
extractor, and a table takes its columns from the names.
"""

import importlib
from dataclasses import dataclass
from typing import TypeVar

from t2i.errors import UserError, check_name

T = TypeVar("T")


@dataclass(frozen=True)
class Protocol:
    """How generated images are scored against real ones.

    ``extractor`` is a name of :data:`t2i.metrics.extractors.EXTRACTORS`, or "module:NAME" for one of your own.
    ``images`` is the number of generated images; the real ones are all of the unseen split. ``fid_layer`` serves FID,
    KID, precision and recall; it or ``isc_layer`` is None where an extractor was never used for a FID, or for an IS.
    ``seed`` shuffles for IS and draws KID's subsets.
    """

    name: str
    extractor: str
    images: int
    fid_layer: str | None
    isc_layer: str | None
    isc_splits: int
    kid_subset_size: int
    seed: int = 2020


_EXTRACTORS = {
    "aviarynet1": {"fid_layer": "pool", "isc_layer": "body"},
    "lite0": {"fid_layer": "pool", "isc_layer": "logits"},
    "inception-tf": {"fid_layer": "2048", "isc_layer": "logits_unbiased"},
    "inception-legacy": {"fid_layer": "2048", "isc_layer": None},
    "pytorch-fid": {"fid_layer": "2048", "isc_layer": None},
    "inception-birds": {"fid_layer": None, "isc_layer": "logits"},
    "inception-flowers": {"fid_layer": None, "isc_layer": "logits"},
}


def short(count: int) -> str:
    """A count as the names of protocols have it: 200, 2k, 30k."""
    return str(count) if count % 1000 else f"{count // 1000}k"


def _protocol(images: int, extractor: str) -> Protocol:
    few = images < 1000
    return Protocol(
        name=f"{'fid' if _EXTRACTORS[extractor]['fid_layer'] else 'is'}{short(images)}-{extractor}",
        extractor=extractor,
        images=images,
        isc_splits=2 if few else 10,  # ten splits of 20 images would say little about nine colours
        kid_subset_size=100 if few else 1000,
        **_EXTRACTORS[extractor],
    )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _protocol(200, "aviarynet1"),
        _protocol(2_000, "aviarynet1"),
        *(_protocol(images, "lite0") for images in (200, 2_000, 30_000)),
        _protocol(2_000, "inception-tf"),
        _protocol(30_000, "inception-tf"),
        _protocol(30_000, "inception-legacy"),
        _protocol(30_000, "pytorch-fid"),
        _protocol(30_000, "inception-birds"),
        _protocol(30_000, "inception-flowers"),
    )
}


def get(name: str) -> Protocol:
    """The protocol called ``name``, or "module:NAME" in a module of your own; raises :class:`UserError` with the names
    that exist."""
    return find("protocol", name, PROTOCOLS)


def find(what: str, name: str, known: dict[str, T]) -> T:
    """``known[name]`` or, for a name such as "module:NAME", what Python finds there; ``what`` is its kind."""
    module, colon, attribute = name.partition(":")
    if not colon:
        check_name(what, name, known)
        return known[name]
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        mend = f"Write module:NAME, and put the folder of {module}.py into PYTHONPATH."
        raise UserError(f"There is no {what} {name} ({error})", mend) from error
