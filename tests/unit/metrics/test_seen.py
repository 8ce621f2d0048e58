"""What AviaryNet sees, what a caption names, and whether the caption matters."""

import numpy as np
import pytest
import torch

from t2i.data import aviary, aviary_captions
from t2i.data.aviary_drawing import draw
from t2i.errors import UserError
from t2i.metrics import attributes, aviarynet, conditioning, retrieval
from t2i.metrics.evaluate import evaluate
from t2i.training import Run, fit


@pytest.fixture(scope="module")
def drawn():
    """200 birds that AviaryNet never saw, at 32 px, with a caption each."""
    pictures, captions = [], []
    for k in range(200):
        rng = np.random.default_rng([9, k])
        bird = aviary.random_bird(rng)
        picture, _ = draw(bird, 64, rng)
        pictures.append(np.asarray(picture.reduce(2)))
        captions.append(aviary_captions.write(vars(bird), rng))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), captions


def test_aviarynet_sees_what_captions_name_and_shuffled_captions_are_chance(drawn):
    images, captions = drawn
    right = attributes.accuracy(images, captions)
    assert right["body"]["accuracy"] > 0.97 and right["wing"]["accuracy"] > 0.95 and right["crown"]["accuracy"] > 0.9
    wrong = attributes.accuracy(images, conditioning.shuffle(captions, 0))["body"]
    assert wrong["accuracy"] < 0.25 and wrong["chance"] == pytest.approx(1 / 9, abs=0.05)


def test_attributes_that_no_caption_names_are_left_out(drawn):
    images, _ = drawn
    assert attributes.accuracy(images[:2], ["a bird", "a red bird"]).keys() == {"body"}


def test_weights_are_pinned(monkeypatch, tmp_path):
    assert aviarynet.WEIGHTS.stat().st_size <= 2_000_000
    changed = tmp_path / "aviarynet1.safetensors"
    changed.write_bytes(aviarynet.WEIGHTS.read_bytes()[:-1] + b"x")
    for file, sentence in (
        (changed, "is not the file that aviarynet1 names"),
        (tmp_path / "none", "is missing. Restore it"),
    ):
        monkeypatch.setattr(aviarynet, "WEIGHTS", file)
        aviarynet.load.cache_clear()
        with pytest.raises(UserError, match=sentence):
            aviarynet.load()
    aviarynet.load.cache_clear()


def test_shuffle_moves_every_caption():
    captions = [str(k) for k in range(50)]
    dealt = conditioning.shuffle(captions, 3)
    assert sorted(dealt) == sorted(captions) and all(a != b for a, b in zip(captions, dealt, strict=True))


def test_zero_shot_and_retrieval_on_points_with_known_answers():
    images = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    labels = np.array([0, 0, 1, 1])
    texts, text_labels = torch.tensor([[1.0, 0], [0.8, 0], [0, 1]]), np.array([0, 0, 1])
    assert retrieval.zero_shot_accuracy(images, labels, texts, text_labels) == 1
    assert retrieval.zero_shot_accuracy(images, labels, texts.flip(1), text_labels) == 0
    assert retrieval.average_precision_at(2, images, labels, texts, text_labels) == 1
    assert retrieval.average_precision_at(50, images, labels, texts, text_labels) == 0.5


def test_the_standing_test_finds_a_link_that_is_cut(tiny, monkeypatch):
    """A generator that never reads its sentence cannot fall when captions are shuffled, and the record shows it."""
    run = fit(tiny(steps=2))
    generator = run.generator
    reading = type(generator).forward

    def blind(self, noise, text, eps=None):
        return reading(self, noise, text._replace(sentence=torch.zeros_like(text.sentence)))

    monkeypatch.setattr(type(generator), "forward", blind)
    assert torch.equal(run.sample(["a red bird"], seed=1), run.sample(["a blue bird"], seed=1))
    metrics = evaluate(run)["metrics"]
    assert abs(metrics["body_accuracy"] - metrics["body_accuracy_shuffled"]) < 0.12


def test_matching_scores_are_probabilities_of_real_pairs(tiny, little_aviary):
    from t2i import data
    from t2i.data.dataset import ImageTextDataset

    run = fit(tiny(steps=2))
    unseen = ImageTextDataset(data.read("aviary", little_aviary), "test", (32,), run.config.crop, run.config.resize)
    scores = conditioning.matching_scores(run, unseen, seed=0)
    assert scores.keys() == {"matching_score", "matching_score_shuffled", "matching_accuracy"}
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores == conditioning.matching_scores(Run.load(run.directory), unseen, seed=0)
