"""The committed network: pinned by its hash, and loaded without moving a random generator."""

import numpy as np
import pytest
import torch

from t2i import aviarynet
from t2i.data import aviary, images
from t2i.data.aviary_drawing import draw
from t2i.errors import UserError
from t2i.metrics import attributes


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


@pytest.mark.parametrize("size", [32, 64])
def test_it_sees_the_birds_of_both_aviaries(size):
    """On real pictures of unseen species, prepared as the multi-stage models see them; as many of either set."""
    everything = [bird for bird in aviary.birds(8, count=aviary.LARGE) if aviary.split(bird.label) == "test"]
    sets = {"aviary": everything[:80], "aviary-200": everything[80:160]}
    for name, birds in sets.items():
        assert {bird.label > aviary.SMALL for bird in birds} == {name == "aviary-200"}
        crops = []
        for bird in birds:
            picture, box = draw(bird.attributes, 128, np.random.default_rng([0, bird.label, bird.k, 1]))
            crops.append(images.centre_crop(np.asarray(images.prepare(picture, box, size, "box", "shorter")), size))
        seen = attributes.seen(images.to_uint8(images.to_tensor(crops)))
        for part in ("body", "belly", "wing", "crown", "pose"):
            right = [
                aviary.VALUES[part][k] == getattr(bird.attributes, part)
                for k, bird in zip(seen[part].tolist(), birds, strict=True)
            ]
            assert sum(right) / len(right) > 0.93, (name, part)
