"""Comparing what two runs ended with."""

import torch

from t2i import checkpoint
from t2i.training import Run


def ended(run: Run) -> checkpoint.State:
    """Everything that a run ended with, the optimisers' memory too."""
    return checkpoint.read(run.directory / "checkpoint.pt")


def tensors(value, path="state") -> dict[str, torch.Tensor]:
    """Every tensor in a nested state by its path."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {name: tensor for key, inner in items for name, tensor in tensors(inner, f"{path}.{key}").items()}


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Equal but for the rounding of float64, by the length of the difference."""
    return (found - wanted).norm() <= 1e-7 * wanted.norm() + 1e-9


def differing(one: dict, other: dict) -> list[str]:
    """The paths whose tensors are not identical to the last bit."""
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys() and len(a) > 30
    return [name for name in a if not torch.equal(a[name], b[name])]
