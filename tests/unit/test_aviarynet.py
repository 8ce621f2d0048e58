"""The committed network: pinned by its hash, and loaded without moving a random generator."""

import pytest
import torch

from t2i import aviarynet
from t2i.errors import UserError


@pytest.fixture
def fresh():
    aviarynet.load.cache_clear()
    yield
    aviarynet.load.cache_clear()


def test_weights_are_pinned(fresh, monkeypatch, tmp_path):
    assert aviarynet.WEIGHTS.stat().st_size <= 2_000_000
    changed = tmp_path / "aviarynet1.safetensors"
    changed.write_bytes(aviarynet.WEIGHTS.read_bytes()[:-1] + b"x")
    for file, sentence in (
        (changed, "is not the file that aviarynet1 names"),
        (tmp_path / "none", "is missing. Restore it"),
    ):
        monkeypatch.setattr(aviarynet, "WEIGHTS", file)
        with pytest.raises(UserError, match=sentence):
            aviarynet.load()


def test_loading_it_moves_no_random_generator(fresh):
    before = torch.get_rng_state()
    network = aviarynet.load()
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert all(value.device.type == "cpu" for value in network.state_dict().values())
