"""Features of real images, kept on disk: they depend on nothing that training or drawing changes."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from t2i import paths

if TYPE_CHECKING:
    from t2i.data.dataset import ImageTextDataset

_VERSION = 1  # changes with what an extractor is shown
_KEY = "features"


def place(data: "ImageTextDataset", extractor: str, *depends: str | int) -> Path:
    """Where the features of all images of ``data`` by the network called ``extractor`` are kept: the digest in its name
    is over the prepared pixels, the size that is cut from them, and what else they depend on."""
    own = [_VERSION, data.cache.digest, data.sizes[-1], extractor, *depends]
    key = sha256(json.dumps(own).encode()).hexdigest()[:16]
    prepared = f"{data.index.name}-{data.split}-{len(data)}-{data.sizes[-1]}-{data.crop}-{data.resize}"
    return paths.cache_root() / "features" / f"{prepared}-{extractor}-{key}.safetensors"


def features(file: Path, count: int, make: Callable[[], Tensor]) -> Tensor:
    """What is kept in ``file``, (count, ...), and what ``make`` computes where there is nothing, or it is damaged."""
    found = _read(file, count)
    if found is None:
        found = make().contiguous()
        paths.write_atomically(file, lambda temporary: save_file({_KEY: found}, temporary))
    return found


def _read(file: Path, count: int) -> Tensor | None:
    try:
        found = load_file(file).get(_KEY)
    except (OSError, safetensors.SafetensorError):
        return None
    return found if found is not None and len(found) == count and found.isfinite().all() else None
