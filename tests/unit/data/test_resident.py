import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from t2i.data import cub, folder
from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.data.resident import CPU_SIDE, SHARE, ResidentImages, bilinear, fits, weights

CPU = torch.device("cpu")


def _assert_as_pillow(pictures: np.ndarray, size: int) -> None:
    wanted = [np.asarray(Image.fromarray(picture).resize((size, size), Image.BILINEAR)) for picture in pictures]
    planes = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().double()
    assert np.array_equal(bilinear(planes, size).permute(0, 2, 3, 1).numpy(), np.stack(wanted))


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32), st.booleans())
def test_any_square_is_scaled_to_any_size_as_pillow_does(source, target, seed, extremes):
    pictures = np.random.default_rng(seed).integers(0, 256, (1, source, source, 3), dtype=np.uint8)
    _assert_as_pillow(pictures // 128 * 255 if extremes else pictures, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [(256, 128), (256, 64), (128, 64), (64, 32), (64, 16), (32, 16), (32, 8), (299, 64), (355, 299), (64, 299), (9, 9)],
)
def test_the_sizes_of_the_papers_are_scaled_as_pillow_does(source, target):
    noise = np.random.default_rng(0).integers(0, 256, (2, source, source, 3), dtype=np.uint8)
    edges = np.where(np.indices((source, source)).sum(0) % 7 < 3, 255, 0).astype(np.uint8)
    _assert_as_pillow(np.concatenate([noise, np.stack([edges] * 3, axis=-1)[None]]), target)


def test_no_sum_of_a_pass_can_be_rounded():
    for source, target in [(256, 64), (299, 37), (5, 299)]:
        wholes = weights(source, target, CPU) * 2**22
        assert torch.equal(wholes, wholes.round())
        assert wholes.sum(dim=0).max() * 255 < 2**31


@pytest.fixture(params=[(32,), (16, 32), (8, 16, 32), (5, 21, 33)], ids=str)
def both(request, little_cub):
    """The data set on the host, and its images as they would be on a device; their shapes differ."""
    dataset = ImageTextDataset(cub.read(little_cub), "train", request.param, crop="whole")
    assert len(set(dataset.cache.shapes)) > 1
    return dataset, ResidentImages(dataset.cache, dataset.sizes, CPU)


def _assert_equal_bits(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other)


def test_random_crops_are_those_of_the_host_to_the_bit(both):
    dataset, resident = both
    for step in range(5):
        indices = np.array([5, 0, 3, 3, 1])
        draws = rng_for(0, step, "images").random((5, 3))
        _assert_equal_bits(resident.random_crops(indices, draws), dataset.images(indices, rng_for(0, step, "images")))


def test_the_outermost_crops_stay_inside_their_images(both):
    dataset, resident = both
    indices = np.arange(len(dataset))
    for corner in np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]]) * np.nextafter(1, 0):
        draws = np.tile(corner, (len(dataset), 1))
        always = type("Corner", (), {"random": staticmethod(lambda shape, draws=draws: draws)})
        _assert_equal_bits(resident.random_crops(indices, draws), dataset.images(indices, always))


def test_the_middles_are_those_of_the_host_to_the_bit(both):
    dataset, resident = both
    _assert_equal_bits(resident.centre_crops(np.arange(6)), dataset.evaluation_images(range(6)))


def test_batches_are_in_the_layout_of_the_networks(both):
    _, resident = both
    for level in resident.centre_crops(np.arange(3)):
        assert level.is_contiguous(memory_format=torch.channels_last)


def test_a_data_set_on_a_device_gives_the_batches_of_the_host(without_classes):
    index = folder.read(without_classes)
    host, moved = (ImageTextDataset(index, "train", (8, 16)) for _ in range(2))
    assert moved.to("cpu") is moved
    assert (host.resident, type(moved.resident)) == (None, ResidentImages)
    indices, part = [3, 8, 0, 5], slice(1, 3)
    for step in range(3):
        batches = [data.images(indices, rng_for(1, step, "images"), part) for data in (host, moved)]
        assert batches[0][0].shape == (2, 3, 8, 8)
        _assert_equal_bits(*batches)
    _assert_equal_bits(*[data.evaluation_images([2, 7]) for data in (host, moved)])


def test_a_data_set_that_does_not_fit_stays_on_the_host(without_classes):
    assert ImageTextDataset(folder.read(without_classes), "train", (CPU_SIDE + 1,)).to("cpu").resident is None


def test_a_gpu_takes_a_set_that_leaves_most_of_its_memory_free(both, monkeypatch):
    dataset, _ = both
    free = int(dataset.cache.nbytes / SHARE)
    for has, taken in [(free, True), (free - 4, False)]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, has=has: (has, 10 * has))
        assert fits(dataset.cache, torch.device("cuda")) is taken
    assert not fits(dataset.cache, torch.device("mps"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the host")
def test_a_gpu_makes_the_bits_of_the_host_and_nothing_waits_for_it(both):
    dataset, _ = both
    resident = ResidentImages(dataset.cache, dataset.sizes, torch.device("cuda"))
    indices, draws = np.arange(6), rng_for(0, 0, "images").random((6, 3))
    resident.random_crops(indices, draws)  # the weights are sent once
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = resident.random_crops(indices, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    _assert_equal_bits([level.cpu() for level in made], dataset.images(indices, rng_for(0, 0, "images")))
