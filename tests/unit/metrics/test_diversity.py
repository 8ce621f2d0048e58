"""How different the pictures of one caption are."""

import pytest
import torch

from t2i.metrics.diversity import distance
from t2i.metrics.evaluate import evaluate


def test_the_distance_is_the_mean_over_all_pairs():
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 3, 5, 5), generator=draws, dtype=torch.uint8)
    flat = images.flatten(1).double()
    pairs = [((flat[i] - flat[j]) ** 2).mean().sqrt() for i in range(4) for j in range(i)]
    assert distance(images) == pytest.approx(sum(pairs).item() / 6)


def test_equal_pictures_and_a_single_one_are_at_no_distance():
    one = torch.full((1, 3, 4, 4), 200, dtype=torch.uint8)
    assert distance(one) == distance(one.expand(5, -1, -1, -1)) == 0


def test_a_generator_that_ignores_its_noise_has_none(finished, tiny_stages, monkeypatch):
    run = finished(tiny_stages())
    assert evaluate(run, ["diversity"], write=False)["metrics"]["diversity"] > 0
    noise = run.noise
    monkeypatch.setattr(run, "noise", lambda count, seed: tuple(part[:1].repeat(count, 1) for part in noise(1, seed)))
    assert evaluate(run, ["diversity"], write=False)["metrics"]["diversity"] == pytest.approx(0, abs=1e-9)
