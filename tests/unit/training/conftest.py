"""A recipe of a multi-stage model, before it is trained."""

import pytest
import torch

from t2i import data, device
from t2i.training.multi_stage import MultiStage


@pytest.fixture
def recipe(tiny_stages):
    """``recipe(model, **overrides)`` is a recipe before its first step, the same whenever it is made."""

    def build(model: str = "attngan", **overrides) -> MultiStage:
        config = tiny_stages(model, **overrides)
        device.seed_step(0, -1)
        return MultiStage(config, data.load(config), device.start("cpu"))

    return build


@pytest.fixture
def double():
    """``double(batch)`` is the batch with its floating-point tensors in float64."""

    def convert(value):
        if isinstance(value, torch.Tensor):
            return value.double() if value.is_floating_point() else value
        return [convert(part) for part in value] if isinstance(value, list) else type(value)(*map(convert, value))

    return convert
