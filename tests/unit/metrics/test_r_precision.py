"""R-precision on vectors whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from t2i.data.capacity import guessing
from t2i.data.dataset import rng_for
from t2i.metrics import r_precision


def basis(*places, size=4):
    """Unit vectors along the given axes: (N, size)."""
    return torch.eye(size)[list(places)]


def test_the_right_caption_wins_or_loses_by_its_cosine():
    codes = basis(0, 0, 0)
    own = torch.tensor([[5.0, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 1, 0, 0]])  # cosines 1, 0.8 and 0
    classes, pool_classes = np.array([0, 0, 0]), np.array([1, 1, 0])
    for others, wanted in (
        (basis(2, 3), [True, True, False]),  # of cosine 0: the third is a tie
        (torch.tensor([[9.0, 9.0, 0, 0]] * 2), [True, True, False]),  # of cosine 0.71, however long
        (torch.tensor([[0.9, 0.1, 0, 0]] * 2), [True, False, False]),
        (-basis(1, 1), [True, True, False]),
    ):
        pool = torch.cat([others, basis(0)])
        assert r_precision.hits(codes, own, classes, pool, pool_classes, seed=0).tolist() == wanted


def test_a_caption_of_the_own_class_is_no_negative():
    """Where the pool holds a perfect caption, it beats the pictures of the other class only."""
    codes, own = basis(0, 0), torch.tensor([[0.8, 0.6, 0, 0]] * 2)
    pool, pool_classes = basis(0, 1, 1), np.array([0, 0, 1])
    assert r_precision.hits(codes, own, np.array([0, 1]), pool, pool_classes, 0).tolist() == [True, False]


def test_negatives_are_99_of_other_classes_fixed_by_the_seed():
    classes, pool_classes = np.repeat([0, 1, 2], 20), np.repeat([2, 0, 1, 5], 7)
    found = r_precision.negatives(classes, pool_classes, rng_for(3, 0, "x"))
    assert found.shape == (60, 99) and not (pool_classes[found] == classes[:, None]).any()
    assert set(found.flatten()) == set(range(28))  # nothing else is left out
    assert np.array_equal(found, r_precision.negatives(classes, pool_classes, rng_for(3, 0, "x")))
    assert not np.array_equal(found, r_precision.negatives(classes, pool_classes, rng_for(4, 0, "x")))


def random_trials(count, pool=400):
    torch.manual_seed(0)
    classes, pool_classes = np.arange(count) % 10, np.arange(pool) % 10
    return [torch.randn(count, 16), torch.randn(count, 16), classes, torch.randn(pool, 16), pool_classes]


def test_what_knows_nothing_hits_one_time_in_a_hundred_and_the_seed_decides_which():
    trials = random_trials(3000)
    found = r_precision.hits(*trials, seed=0)
    assert 0.004 < found.double().mean() < 0.02
    assert torch.equal(found, r_precision.hits(*trials, seed=0))
    assert not torch.equal(found, r_precision.hits(*trials, seed=1))


def test_trials_keep_their_order_however_many_they_are():
    codes, _, classes, pool, pool_classes = random_trials(2300)
    own, wanted = codes.clone(), torch.rand(2300) < 0.5
    own[~wanted] *= -1
    assert torch.equal(r_precision.hits(codes, own, classes, pool, pool_classes, 0), wanted)


def test_the_same_caption_in_another_class_is_a_tie_and_so_a_miss():
    codes, own, classes, _, pool_classes = random_trials(500)
    own[:] = own[0]
    pool = own[:1].repeat(400, 1)  # rounding must not let the right one of equal vectors win
    assert not r_precision.hits(codes, own, classes, pool, pool_classes, 0).any()


def folds(count, seed):
    """The trials of each of the ten folds."""
    return rng_for(seed, 0, "folds").permutation(count).reshape(10, -1)


def test_the_published_rule_drops_the_last_of_each_fold_and_nothing_else():
    hits = torch.ones(200, dtype=torch.bool)
    hits[folds(200, 5)[:, -1]] = False
    assert r_precision.fold(hits, 5, "published") == (1, 0)
    assert r_precision.fold(hits, 5) == r_precision.fold(hits, 5, "all") == pytest.approx((0.95, 0))
    others = folds(200, 5)[3, 4]
    hits[others] = False
    assert r_precision.fold(hits, 5, "published").mean == pytest.approx(1 - 1 / 19 / 10)


def test_mean_and_deviation_are_over_folds():
    hits = torch.zeros(200, dtype=torch.bool)
    hits[folds(200, 1)[:4].flatten()] = True
    found = r_precision.fold(hits, 1)
    assert found.mean == pytest.approx(0.4) and found.std == pytest.approx(np.std([1] * 4 + [0] * 6))
    assert r_precision.fold(hits, 2).std < 0.2  # another seed mixes the folds


def test_chance_counts_different_captions_and_never_a_caption_that_is_there_twice():
    classes, pool_classes = np.array([0, 0, 1]), np.array([0, 1, 1, 1])
    pool = ["own", "a", "b", "a"]
    found = r_precision.chance(["own", "a", "b"], classes, pool, pool_classes, seed=0)
    # two different others; the true one is among them, which is a tie and never a hit; one other
    assert found == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)


def test_chance_is_a_hundredth_where_no_caption_is_drawn_twice_and_what_check_says_is_near():
    pool = [f"caption {k}" for k in range(20000)]
    classes = np.arange(200) % 10
    for size in (20000, 400):
        found = r_precision.chance(["own"] * 200, classes, pool[:size], np.arange(size) % 10, seed=0)
        assert found == pytest.approx(guessing(size * 9 // 10), rel=0.02)
    assert guessing(20000) == pytest.approx(0.01, rel=0.01) and guessing(1) == 0.5


def test_real_pictures_whose_captions_are_no_ones_own_have_no_figure():
    found = r_precision.real_r_precision(None, None, SimpleNamespace(certain=np.array([], int)), 0, 100)
    assert found.keys() == {"r_precision"} and np.isnan(found["r_precision"])
