"""Networks out of a run folder: as they were saved, and not initialised first."""

import pytest
import torch

from t2i import models, official
from t2i.errors import UserError
from t2i.training import Run


def same(network, weights) -> bool:
    own = network.state_dict()
    return own.keys() == weights.keys() and all(torch.equal(own[name], weights[name]) for name in own)


def test_networks_come_back_as_they_were_without_being_initialised(finished, tiny_stages, monkeypatch):
    run, devices = Run.load(finished(tiny_stages("dm-gan")).directory), []
    monkeypatch.setattr(torch.nn.init, "orthogonal_", lambda weight: devices.append(weight.device.type))
    assert same(run.generator, run.state["average"])
    assert same(run.discriminators, run.state["networks"]["discriminators"])
    assert set(devices) == {"meta"}
    for network in (run.generator, run.discriminators):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not any(module.training for module in network.modules())


def test_weights_hold_every_buffer():
    """A buffer that a state dict leaves out would have no value in a network that was not initialised."""
    with torch.device("meta"):
        networks = [network for name in models.NAMES for network in models.build(name)]
    networks += [official.empty(kind) for kind in official.KINDS]
    for network in networks:
        assert {name for name, _ in network.named_buffers()} <= network.state_dict().keys()


def test_what_is_not_read_of_a_caption_is_said_once(finished, tiny, tiny_stages):
    reader = finished(tiny(steps=2))
    assert reader.unread(["a red bird", "a café", "un café", "x" * 202]) == [
        "not in English letters, and not read as written: é",
        "of the 202 characters of a caption, the first 201 are read",
    ]
    assert reader.unread(["a \u200bbird 鳥"]) == ["not in English letters, and not read as written: U+200B, 鳥"]
    with pytest.raises(UserError, match="Of the caption '四个红鸟' nothing is read"):
        reader.sample(["a red bird", "四个红鸟"])
    assert finished(tiny_stages()).unread(["a red bird", "a red 鳥 🐦"]) == [
        "not in English letters, and not read as written: 鳥, 🐦"
    ]
