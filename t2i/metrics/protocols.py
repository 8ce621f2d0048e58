"""Named protocols: everything besides the pictures that a FID, an IS or a KID depends on.

FIDs of different protocols never share a column. The estimate is biased by the number of images: the fewer, the
larger. And every extractor has a scale of its own: by its README, DM-GAN's released CUB model has a FID of 15.34 under
"PyTorch" and of 11.91 under TensorFlow, the same pictures. So the name of a protocol carries both, count and
extractor, and a table takes its columns from the names.
"""

from dataclasses import dataclass

from t2i.errors import check_name


@dataclass(frozen=True)
class Protocol:
    """How generated images are scored against real ones.

    ``images`` is the number of generated images; the real ones are all of the unseen split. ``fid_layer`` serves FID
    and KID; ``isc_layer`` is None where an extractor was never used for an IS. ``seed`` shuffles for IS and draws KID's
    subsets.
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
    "inception-tf": {"fid_layer": "2048", "isc_layer": "logits_unbiased"},
    "inception-legacy": {"fid_layer": "2048", "isc_layer": None},
}


def short(count: int) -> str:
    """A count as the names of protocols have it: 200, 2k, 30k."""
    return str(count) if count % 1000 else f"{count // 1000}k"


def _protocol(images: int, extractor: str) -> Protocol:
    few = images < 1000
    return Protocol(
        name=f"fid{short(images)}-{extractor}",
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
        _protocol(2_000, "inception-tf"),
        _protocol(30_000, "inception-tf"),
        _protocol(30_000, "inception-legacy"),
    )
}


def get(name: str) -> Protocol:
    """The protocol called ``name``; raises :class:`UserError` with the names that exist."""
    check_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
