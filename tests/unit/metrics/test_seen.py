"""What AviaryNet sees, what a caption names, and whether the caption matters."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from t2i.data import aviary, aviary_captions
from t2i.data.aviary_drawing import draw
from t2i.metrics import attributes, conditioning, retrieval
from t2i.metrics.evaluate import Evaluation, evaluate
from t2i.training import Run


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


def oracle(captions, seed=0):
    """Pictures that show what the captions name: uint8 (N, 3, 32, 32)."""
    drawn = []
    for k, caption in enumerate(captions):
        rng = np.random.default_rng([seed, k])
        bird = replace(aviary.random_bird(rng), **aviary_captions.named_attributes(caption))
        drawn.append(np.asarray(draw(bird, 64, rng)[0].reduce(2)))
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)


def test_the_record_tells_a_generator_that_reads_from_one_whose_link_is_cut(finished, tiny, monkeypatch):
    """Both draw the same kind of birds; the second draws them for captions other than those that it is given."""
    run = finished(tiny(steps=2))
    monkeypatch.setattr(run, "stream", lambda captions, seed: oracle(captions, seed).split(64))
    reads = evaluate(run, ["attributes"], write=False)["metrics"]
    assert reads["body_accuracy"] > 0.95 and reads["body_accuracy_shuffled"] < 0.3
    monkeypatch.setattr(run, "stream", lambda captions, seed: [oracle(conditioning.shuffle(captions, 7), seed)])
    cut = evaluate(run, ["attributes"], write=False)["metrics"]
    assert cut["body_accuracy"] < 0.3 and abs(cut["body_accuracy"] - cut["body_accuracy_shuffled"]) < 0.12


class Pairs:
    """A set whose image k is filled with k and whose caption is its number."""

    certain = np.arange(40)

    def __len__(self):
        return 40

    def evaluation_images(self, indices):
        return [torch.tensor(indices, dtype=torch.float)[:, None, None, None].expand(-1, 3, 2, 2)]

    def captions(self, indices, rng):
        return [[str(k)] for k in indices]


class Verdict:
    """A discriminator that gives ``right`` to an image with its own number and ``wrong`` to one with another."""

    def __init__(self, right, wrong):
        self.right, self.wrong = right, wrong

    def features(self, images):
        return images[:, 0, 0, 0]

    def conditional(self, features, sentence):
        return torch.where(features == sentence, self.right, self.wrong)


@pytest.mark.parametrize(
    ("right", "wrong", "accuracy"),
    [(2.0, -1.0, 1.0), (-1.0, 2.0, 0.0), (0.5, 0.5, 0.0)],
    ids=["it knows", "it is wrong about all", "it never looks at the caption"],
)
def test_matching_scores_are_of_real_pairs_and_of_shuffled_ones(right, wrong, accuracy):
    run = SimpleNamespace(
        batch_size=16,
        discriminators=[Verdict(right, wrong)],
        condition=lambda captions: torch.tensor([float(caption) for caption in captions]),
    )
    scores = conditioning.matching_scores(run, Pairs(), seed=0)
    expected = torch.tensor([right, wrong]).sigmoid().tolist()
    assert list(scores.values()) == pytest.approx([*expected, accuracy])


def test_matching_scores_leave_the_discriminator_as_it_is(finished, tiny):
    """A spectral norm's power iteration, or a batch norm's statistics, would move from look to look."""
    run = finished(tiny(steps=2))
    unseen = Evaluation(run).unseen
    scores = conditioning.matching_scores(run, unseen, seed=0)
    assert scores == conditioning.matching_scores(run, unseen, seed=0)
    assert scores == conditioning.matching_scores(Run.load(run.directory), unseen, seed=0)
    assert scores != conditioning.matching_scores(run, unseen, seed=1)
