"""Recipes before they are trained."""

import pytest
import torch

from t2i.training import fit, obtain, prepare


@pytest.fixture
def ready():
    """``ready(config)`` is the recipe of ``config`` before its first step, the same whenever it is made."""
    return lambda config, **options: prepare(config, obtain.basis(config, {}, train=fit), **options)


@pytest.fixture
def recipe(tiny_stages, ready):
    """``recipe(model, **overrides)``, likewise, of a multi-stage model."""
    return lambda model="attngan", **overrides: ready(tiny_stages(model, **overrides))


@pytest.fixture
def double():
    """``double(batch)`` is the batch with its floating-point tensors in float64."""

    def convert(value):
        if isinstance(value, torch.Tensor):
            return value.double() if value.is_floating_point() else value
        if value is None:
            return None
        return [convert(part) for part in value] if isinstance(value, list) else type(value)(*map(convert, value))

    return convert
