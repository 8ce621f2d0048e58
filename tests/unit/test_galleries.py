"""Retrieval and R-precision by encoders made by hand, whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from t2i import galleries
from t2i.data.index import Example
from t2i.metrics.r_precision import real_r_precision
from t2i.text import ImageFeatures, TextFeatures

WAYS = "captions", "images", "words_captions", "words_images"


class Numbered:
    """A set whose image k is filled with k and whose caption is its number; two images to a class."""

    def __init__(self, count: int):
        self.labels, self.certain = np.arange(count) // 2, np.arange(count)
        self.examples = [Example(str(k), None, (str(k), str(k)), None, "test") for k in range(count)]

    def __len__(self):
        return len(self.labels)

    def evaluation_images(self, indices):
        return [torch.tensor(indices, dtype=torch.float)[:, None, None, None].expand(-1, 3, 2, 2)]

    def captions(self, indices, rng, count=1):
        return [[str(k)] * count for k in indices]


class Table(nn.Module):
    """Either encoder as a table of vectors, one row per number; ``order`` says which row a number gets."""

    def __init__(self, order, width=64):
        super().__init__()
        rows = torch.randn(max(order) + 1, width, generator=torch.Generator().manual_seed(0))
        self.rows, self.seen = nn.Parameter(rows[torch.as_tensor(order)]), []

    def forward(self, images):
        self.seen.append([int(number) for number in images[:, 0, 0, 0]])
        codes = self.rows[self.seen[-1]]
        return ImageFeatures(codes[:, :, None, None].expand(-1, -1, 2, 2), codes)

    def features(self, texts):
        sentence = self.rows[[int(text) for text in texts]]
        return TextFeatures(sentence[:, :, None], sentence, None)

    def encode(self, texts):
        return self.features(texts).sentence


def recall(text, image, count, **options):
    found = galleries.recall(Table(text), Table(image), Numbered(count), seed=0, **options)
    chance = found.pop("chance")
    return found, chance


def test_a_rank_counts_all_that_score_as_high():
    scores = torch.tensor([[3.0, 1, 2], [5, 5, 4], [0, 1, 0.5]])
    assert galleries.rank_of_right(scores).tolist() == [0, 1, 1]
    assert galleries.rank_of_right(scores.T).tolist() == [1, 0, 2]


def test_perfect_encoders_find_everything_and_constant_ones_nothing():
    names = {f"{way}_recall_at_{k}" for way in WAYS for k in (1, 5, 10)}
    assert recall(range(100), range(100), 100) == (dict.fromkeys(names, 1.0), 0.01)
    for text, image in (([0] * 100, range(100)), (range(100), [0] * 100), ([0] * 100, [0] * 100)):
        found, _ = recall(text, image, 100)
        looked_for_by_one = "images" if text[0] == text[1] else "captions"
        assert found.keys() == names and not any(found[f"{looked_for_by_one}_recall_at_{k}"] > 0.5 for k in (1, 5, 10))
    assert not any(recall([0] * 100, [0] * 100, 100)[0].values())  # everything is a tie, and a tie is a miss


def test_each_way_of_looking_ranks_by_itself():
    """Both 0 and 1 have the caption vector of 0: image 0 has a rival, image 1 is beaten, captions find image 0."""
    found, _ = recall([0, 0, *range(2, 20)], range(20), 20)
    for way, first in (("captions", 0.9), ("images", 0.95)):
        assert found[f"{way}_recall_at_1"] == found[f"words_{way}_recall_at_1"] == pytest.approx(first)
    assert found["images_recall_at_5"] >= 0.95


def test_swapped_captions_come_second():
    torch.manual_seed(0)
    found, _ = recall([1, 0, *range(2, 20)], range(20), 20, words=False)
    assert found["captions_recall_at_1"] == found["images_recall_at_1"] == pytest.approx(0.9)
    assert found.keys() == {f"{way}_recall_at_{k}" for way in WAYS[:2] for k in (1, 5, 10)}


@pytest.mark.parametrize(("count", "sizes"), [(250, [100, 100]), (100, [100]), (30, [30])])
def test_every_image_is_in_one_gallery_at_most(count, sizes):
    image = Table(range(count))
    found = galleries.recall(Table(range(count)), image, Numbered(count), seed=0, words=False)
    assert [len(gallery) for gallery in image.seen] == sizes and found["chance"] == 1 / sizes[0]
    numbers = [number for gallery in image.seen for number in gallery]
    assert len(set(numbers)) == len(numbers) and numbers != sorted(numbers)
    again, other = Table(range(count)), Table(range(count))
    galleries.recall(Table(range(count)), again, Numbered(count), seed=0, words=False)
    galleries.recall(Table(range(count)), other, Numbered(count), seed=1, words=False)
    assert again.seen == image.seen != other.seen


def test_r_precision_of_real_images():
    perfect = real_r_precision(Table(range(40)), Table(range(40)), Numbered(40), 0, trials=200)
    for rule in ("r_precision", "r_precision_official"):
        assert 1 / 39 < perfect.pop(f"{rule}_chance") < 1 / 30  # 99 draws from 38 or 39 others
    assert set(perfect.values()) == {1.0, 0.0}
    assert perfect["r_precision"] == perfect["r_precision_published_folds"] == 1
    by_class = Table([k // 2 * 2 for k in range(40)])  # an odd image has the caption of its even sister
    half = real_r_precision(by_class, Table(range(40)), Numbered(40), 0, trials=200)
    assert 0.5 <= half["r_precision"] < 0.6 and half["r_precision_std"] > 0
