"""The deterministic weights and inputs behind the golden figures: NumPy streams keyed by names, no torch generator."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).with_name("golden")


def golden(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def weight(key: str, shape: tuple[int, ...], scale: str) -> torch.Tensor:
    """The tensor ``key``: matrices times 0.05 (``fixed``) or 1/sqrt(fan in) (``fanin``), vectors times 0.05."""
    drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape), dtype=np.float32)
    factor = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 and scale == "fanin" else 0.05
    return torch.from_numpy((drawn * np.float32(factor)).astype(np.float32))


def fill(module: torch.nn.Module, scale: str) -> dict[str, torch.Tensor]:
    """A state dict for ``module`` made by the recipe."""
    return {key: weight(key, tuple(tensor.shape), scale) for key, tensor in module.state_dict().items()}
