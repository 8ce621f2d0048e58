"""The deterministic weights and inputs behind the golden figures: NumPy streams keyed by names, no torch generator."""

import functools
import json
import zlib
from pathlib import Path

import numpy as np
import torch

from t2i import official

GOLDEN = Path(__file__).with_name("golden")


def golden(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def _normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape), dtype=np.float32)


def weight(key: str, shape: tuple[int, ...], scale: str) -> torch.Tensor:
    """The tensor ``key``: matrices times 0.05 (``fixed``), 1/sqrt(fan in) (``fanin``) or √2 times that (``he``); batch
    norms with gains about 1 and variances of at least 1; other vectors times 0.05."""
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    drawn = _normal(key, shape)
    if len(shape) > 1:
        factor = np.float32(0.05 if scale == "fixed" else 1 / np.sqrt(np.prod(shape[1:])))
        drawn = (drawn * factor * np.float32(np.sqrt(2))) if scale == "he" else drawn * factor
    elif leaf.endswith(("_u", "_v")):
        drawn = drawn / np.float32(np.sqrt(np.sum(drawn.astype(np.float64) ** 2)))
    elif leaf == "running_var":
        drawn = np.float32(1) + np.float32(0.1) * np.abs(drawn)
    else:
        drawn = np.float32(0.05) * drawn + np.float32(leaf == "weight")
    return torch.from_numpy(drawn.astype(np.float32))


def make_input(name: str, shape: list[int], scale: float = 1.0, clip: float | None = None, **_) -> torch.Tensor:
    """The input called ``name``: normal numbers times ``scale``, cut at ±``clip``."""
    drawn = _normal(f"input:{name}:{'x'.join(map(str, shape))}", shape) * np.float32(scale)
    return torch.from_numpy(drawn if clip is None else np.clip(drawn, -clip, clip).astype(np.float32))


def make_captions(lengths: list[int], words: int, vocabulary: int = 5450) -> torch.Tensor:
    """Word numbers (B, words), 0 beyond each length."""
    shape = (len(lengths), words)
    rng = np.random.default_rng(zlib.crc32(f"input:captions:{shape[0]}x{words}".encode()))
    captions = rng.integers(1, vocabulary, size=shape)
    for row, length in zip(captions, lengths, strict=True):
        row[length:] = 0
    return torch.from_numpy(captions.astype(np.int64))


@functools.lru_cache(maxsize=2)  # the largest takes more than a second and 300 MB
def fill(kind: str, scale: str) -> dict[str, torch.Tensor]:
    """A state dict in the official layout ``kind``, made by the recipe; to be read only."""
    shapes = {
        official.KINDS[kind].official(key): tensor.shape for key, tensor in official.empty(kind).state_dict().items()
    }
    return {name: weight(name, tuple(shape), scale) for name, shape in shapes.items()}


def compare(found: torch.Tensor, wanted: dict, tolerance: float) -> None:
    """Shape, norm, and either statistics and sixteen values or the sum, relative to the spread of what was recorded."""
    assert list(found.shape) == wanted["shape"]
    found = found.detach().double().flatten().numpy()
    np.testing.assert_allclose(np.linalg.norm(found), wanted["l2"], rtol=tolerance)
    if "values" not in wanted:
        return np.testing.assert_allclose(found.sum(), wanted["sum"], rtol=0, atol=tolerance * np.abs(found).sum())
    atol = tolerance * (wanted["std"] or abs(wanted["mean"]))  # a single number has no spread
    np.testing.assert_allclose(found[wanted["idx"]], wanted["values"], rtol=0, atol=atol)
    np.testing.assert_allclose(found.mean(), wanted["mean"], rtol=0, atol=atol)
