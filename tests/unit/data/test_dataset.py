import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from t2i import config as configs
from t2i.data import cub
from t2i.data.dataset import (
    ImageTextDataset,
    batch_indices,
    distinct_class_indices,
    loader_threads,
    prefetch,
    rng_for,
    wrong_indices,
)
from t2i.data.index import Example, Index
from t2i.errors import UserError


@pytest.fixture
def dataset(little_cub):
    return ImageTextDataset(cub.read(little_cub), "train", (16, 32))


def test_images_are_a_pyramid_in_range(dataset):
    small, large = dataset.images([0, 3, 5], rng_for(0, 0, "images"))
    assert (small.shape, large.shape) == ((3, 3, 16, 16), (3, 3, 32, 32))
    assert large.dtype == torch.float32
    assert -1 <= large.min() < large.max() <= 1


def test_images_follow_from_their_generator_alone(dataset):
    first, again, other = (dataset.images([0, 1], rng_for(0, step, "images"))[1] for step in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_part_of_a_batch_has_the_crops_of_the_whole(dataset):
    indices = [5, 2, 0, 3]
    whole = dataset.images(indices, rng_for(0, 1, "images"))
    parts = [dataset.images(indices, rng_for(0, 1, "images"), part=slice(start, start + 2)) for start in (0, 2)]
    for level in (0, 1):
        assert torch.equal(whole[level], torch.cat([part[level] for part in parts]))


def test_evaluation_images_are_the_middle_and_do_not_change(dataset):
    (_, large), (_, again) = dataset.evaluation_images([1]), dataset.evaluation_images([1])
    assert torch.equal(large, again)
    picture = dataset.cache[1]
    top, left = (picture.shape[0] - 32) // 2, (picture.shape[1] - 32) // 2
    middle = torch.from_numpy(np.array(picture[top : top + 32, left : left + 32])).permute(2, 0, 1)
    assert torch.allclose((large[0] + 1) * 127.5, middle.float(), atol=1e-3)


def test_captions_are_drawn_with_replacement_from_the_image_itself(dataset):
    drawn = dataset.captions([0, 4], rng_for(0, 0, "captions"), count=30)
    assert [len(captions) for captions in drawn] == [30, 30]
    for index, captions in zip([0, 4], drawn, strict=True):
        assert set(captions) == set(dataset.examples[index].captions)


def test_captions_drawn_without_replacement_differ_and_all_occur(tmp_path):
    written = ("one", "two", "three", "four", "five")
    data = ImageTextDataset(Index("x", tmp_path, [Example("a", tmp_path, written, None, "train")]), "train", (16,))
    drawn = data.captions([0] * 40, rng_for(0, 0, "captions"), count=3, replace=False)
    assert all(len(set(captions)) == len(captions) == 3 for captions in drawn)
    assert {captions[0] for captions in drawn} == set(written)
    assert len(data.captions([0], rng_for(0, 0, "captions"), count=6)[0]) == 6


def test_an_image_with_too_few_captions_to_draw_from_is_named(dataset):
    with pytest.raises(UserError, match="Bird2_0000 has 2 captions, and 3 different ones are drawn") as caught:
        dataset.captions([0, 1], rng_for(0, 0, "captions"), count=3, replace=False)
    assert "draw fewer" in caught.value.mend


def test_labels_are_dense_and_splits_apart(dataset, little_cub):
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert {example.class_id for example in dataset.examples} == {2, 3}
    assert {e.class_id for e in ImageTextDataset(cub.read(little_cub), "test", (16,)).examples} == {1, 4}


def _index(root, class_ids, split="train"):
    return Index("x", root, [Example(str(n), root / str(n), ("a",), c, split) for n, c in enumerate(class_ids)])


def test_images_without_classes_are_classes_of_their_own(tmp_path):
    assert ImageTextDataset(_index(tmp_path, [None] * 4), "train", (16,)).labels.tolist() == [0, 1, 2, 3]
    mixed = ImageTextDataset(_index(tmp_path, [None, 7, None, 7]), "train", (16,)).labels
    assert len(set(mixed)) == 3
    assert mixed[1] == mixed[3]


def test_images_per_class_keeps_the_first_of_each(tmp_path):
    limited = ImageTextDataset(_index(tmp_path, [1, 1, 2, 1, 2, 2]), "train", (16,), images_per_class=2)
    assert [example.key for example in limited.examples] == ["0", "1", "2", "4"]
    without = ImageTextDataset(_index(tmp_path, [None] * 100), "train", (16,), images_per_class=2)
    assert len(without) == 80


def test_a_limit_draws_a_fixed_part_of_the_split_by_its_seed(tmp_path):
    index = _index(tmp_path, [None] * 100)

    def keys(seed, limit=30):
        data = ImageTextDataset(index, "train", (16,), limit=limit, seed=seed)
        assert len(data.labels) == len(data)
        return [example.key for example in data.examples]

    assert keys(0) == keys(0) == sorted(keys(0), key=int)
    assert len(set(keys(0))) == 30
    assert keys(0) != keys(1)
    assert keys(0, limit=100) == keys(0, limit=1000) == [example.key for example in index.examples]


def test_a_config_draws_the_part_by_its_own_seed(little_cub):
    index = cub.read(little_cub)
    config = configs.load("gan-cls", "cub", "paper", seed=5)
    drawn = ImageTextDataset.from_config(config, index, limit=2)
    assert drawn.examples == ImageTextDataset(index, "train", (64,), limit=2, seed=5).examples
    assert len(ImageTextDataset.from_config(config, index)) == 6


def test_a_part_of_a_split_has_a_cache_of_its_own_size(little_cub):
    index = cub.read(little_cub)
    whole, same, part = (ImageTextDataset(index, "train", (16,), limit=limit) for limit in (0, 6, 2))
    assert whole.cache.file == same.cache.file != part.cache.file
    assert len(part.cache) == 2
    number = [example.key for example in whole.examples].index(part.examples[1].key)
    assert np.array_equal(part.cache[1], whole.cache[number])


def test_an_empty_split_is_named(tmp_path):
    with pytest.raises(UserError, match="has no test images") as caught:
        ImageTextDataset(_index(tmp_path, [1]), "test", (16,))
    assert str(tmp_path) in caught.value.problem
    assert "data check" in caught.value.mend


def test_every_epoch_shows_every_image_once_in_another_order():
    epochs = [np.concatenate([batch_indices(12, 4, seed=1, step=3 * epoch + k) for k in range(3)]) for epoch in (0, 1)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_incomplete_last_batch_is_dropped_and_a_large_one_capped():
    assert len(np.concatenate([batch_indices(10, 4, 0, step) for step in (0, 1)])) == 8
    assert not np.intersect1d(batch_indices(10, 4, 0, 0), batch_indices(10, 4, 0, 1)).size
    assert sorted(batch_indices(5, 64, 0, 7)) == [0, 1, 2, 3, 4]


def test_batches_depend_on_seed_and_step_only():
    assert np.array_equal(batch_indices(100, 10, 3, 25), batch_indices(100, 10, 3, 25))
    assert not np.array_equal(batch_indices(100, 10, 3, 25), batch_indices(100, 10, 4, 25))


def test_streams_do_not_share_numbers():
    draws = {rng_for(0, 0, stream).random() for stream in ("images", "captions", "noise")}
    draws |= {rng_for(0, 1, "images").random(), rng_for(1, 0, "images").random()}
    assert len(draws) == 5


def test_distinct_classes():
    labels = np.array([0, 0, 1, 2, 2, 2, 3])
    seen = set()
    for step in range(50):
        chosen = distinct_class_indices(labels, 3, seed=0, step=step)
        assert len(set(labels[chosen])) == 3
        seen |= set(chosen.tolist())
    assert seen == set(range(7))
    assert len(distinct_class_indices(labels, 40, 0, 0)) == 4


def test_distinct_classes_are_drawn_class_by_class():
    labels = np.random.default_rng(0).integers(0, 9, 60) * 5
    rng = rng_for(2, 3, "classes")
    one_by_one = [rng.choice(np.flatnonzero(labels == label)) for label in rng.permutation(np.unique(labels))[:4]]
    assert distinct_class_indices(labels, 4, seed=2, step=3).tolist() == one_by_one


def test_wrong_images_are_of_another_class_and_all_occur():
    labels = np.array([0, 0, 1, 1, 1, 2])
    indices = [0, 2, 5] * 50
    wrong = wrong_indices(labels, indices, np.random.default_rng(0))
    assert (labels[wrong] != labels[indices]).all()
    assert set(wrong[0::3]) == {2, 3, 4, 5}


def test_wrong_images_without_classes_are_other_images():
    wrong = wrong_indices(np.arange(3), [0, 1, 2] * 20, np.random.default_rng(0))
    assert (wrong != np.array([0, 1, 2] * 20)).all()


def test_one_single_class_has_no_wrong_images():
    with pytest.raises(UserError, match="All images are of one class") as caught:
        wrong_indices(np.zeros(5, dtype=np.int64), [0], np.random.default_rng(0))
    assert "two" in caught.value.mend


def test_prefetch_keeps_the_order_and_works_ahead():
    made, second = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 4:
            second.set()
        return step * 10

    steps = prefetch(make, 3, 7, workers=1)
    assert next(steps) == 30
    assert second.wait(5)  # step 4 is made while step 3 is in use
    assert list(steps) == [40, 50, 60]
    assert made == [3, 4, 5, 6]
    assert list(prefetch(make, 3, 3)) == []


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (2, 2), (5, 3), (3, 12), (None, None)])
def test_the_batches_are_the_same_whatever_the_number_of_workers(dataset, workers, ahead):
    def make(step):
        indices = batch_indices(len(dataset), 3, 0, step)
        time.sleep(step % 3 / 1000)  # later steps are done before earlier ones
        return step, dataset.images(indices, rng_for(0, step, "images"))[0]

    steps, batches = zip(*prefetch(make, 2, 22, workers, ahead), strict=True)
    assert steps == tuple(range(2, 22))
    assert all(torch.equal(batch, make(step)[1]) for step, batch in zip(steps, batches, strict=True))


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (2, 5), (4, 4)])
def test_no_more_than_so_many_steps_are_made_ahead(workers, ahead):
    begun = []
    steps = prefetch(begun.append, 0, 20, workers, ahead)
    for used in (1, 2, 3):
        next(steps)
        time.sleep(0.05)
        assert sorted(begun) == list(range(used + ahead))
    steps.close()
    assert len(begun) == 3 + ahead


@pytest.mark.parametrize("workers", [1, 4])
def test_prefetch_hands_on_what_goes_wrong_in_its_turn(workers):
    begun = []

    def make(step):
        begun.append(step)
        if step == 2:
            raise UserError("picture 2 is broken", "Mend it.")
        return step

    before = threading.active_count()
    steps = prefetch(make, 0, 50, workers)
    assert [next(steps), next(steps)] == [0, 1]
    with pytest.raises(UserError, match="picture 2 is broken"):
        next(steps)
    assert threading.active_count() == before
    assert len(begun) < 50


@pytest.mark.parametrize("workers", [1, 4])
def test_prefetch_can_be_left_early(workers):
    begun, before = [], threading.active_count()

    def make(step):
        begun.append(step)
        time.sleep(0.01)
        return step

    start = time.monotonic()
    for step in prefetch(make, 0, 1000, workers):
        if step == 1:
            break
    del step
    assert time.monotonic() - start < 5
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
    assert len(begun) <= 2 + 2 * workers


@pytest.mark.parametrize("workers", [1, 2])
def test_prefetching_leaves_the_threads_of_the_step_alone(workers):
    before = torch.get_num_threads()
    few = max(1, before // (4 * workers))
    assert list(prefetch(lambda step: torch.get_num_threads(), 0, 4, workers)) == [few] * 4
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("cores", "processes", "threads"), [(1, 1, 1), (2, 1, 1), (16, 1, 8), (64, 1, 8), (16, 4, 2)])
def test_half_the_cores_of_a_process_load(monkeypatch, cores, processes, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert loader_threads() == threads


def test_one_class_to_train_on_counts_as_none(little_cub):
    index = cub.read(little_cub)
    index = replace(index, examples=[replace(example, class_id=7) for example in index.examples])
    train, test = (ImageTextDataset(index, split, (16,), images_per_class=2) for split in ("train", "test"))
    assert train.labels.tolist() == list(range(6)) and test.labels.tolist() == [0] * 6  # nor are two of six kept
    assert (wrong_indices(train.labels, range(6), rng_for(0, 0, "wrong")) != np.arange(6)).all()
