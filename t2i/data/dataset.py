"""Batches of images and captions, each a pure function of (seed, step).

Nothing here keeps a random generator between steps. A run that was killed continues at step k with the very batches
that the unbroken run would have seen, with no generator state to save; and every process of a data-parallel run works
out the same global batch for itself and loads only its part of it.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from t2i.config import Config
from t2i.data import images
from t2i.data.cache import ImageCache
from t2i.data.index import Example, Index
from t2i.data.resident import ResidentImages, fits
from t2i.errors import UserError

T = TypeVar("T")
_AS_MANY_CLASSES = 40  # a set without classes, or with one, is limited as one with Aviary's 40 would be


class ImageTextDataset:
    """One split of a data set: images at the sizes of a pyramid, captions, and dense class labels.

    ``sizes`` runs from small to large. ``crop`` and ``resize`` are those of :func:`images.prepare`.
    ``images_per_class`` keeps only the first n examples of each class (40 n in all where there is no class or one), and
    ``limit`` draws that many of what is left, the same for the same ``seed``; 0: all.
    ``labels`` is (N,) int64, 0 to classes - 1; where a data set has no classes, or only one to train on, every image is
    a class of its own.
    Raises :class:`UserError` where the split is empty.
    """

    def __init__(
        self,
        index: Index,
        split: str,
        sizes: tuple[int, ...],
        crop: str = "box",
        resize: str = "shorter",
        images_per_class: int = 0,
        limit: int = 0,
        seed: int = 0,
    ):
        if not index.split(split):
            raise UserError(f"{index.root} has no {split} images", "Check how it is split: python -m t2i data check.")
        self.index, self.split, self.sizes = index, split, tuple(sizes)
        self.crop, self.resize, self.images_per_class = crop, resize, images_per_class
        self.examples = _first_of_each_class(index.split(split), images_per_class)
        self._kept = f"first{images_per_class}" if images_per_class else "all"
        if 0 < limit < len(self.examples):
            chosen = rng_for(seed, 0, "subset").choice(len(self.examples), limit, replace=False)
            self.examples = [self.examples[k] for k in np.sort(chosen)]
            self._kept += f"-{limit}drawn{seed}"
        self.labels = dense_labels(self.examples, one_is_none=split == "train")
        self.resident: ResidentImages | None = None

    @classmethod
    def from_config(cls, config: Config, index: Index, split: str = "train", limit: int = 0) -> "ImageTextDataset":
        """The ``split`` of ``index`` as ``config`` prepares its images, or ``limit`` of it drawn by its seed."""
        sizes = getattr(config, "sizes", (config.image_size,))
        return cls(index, split, sizes, config.crop, config.resize, config.images_per_class, limit, config.seed)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def certain(self) -> np.ndarray:
        """The images whose captions are certainly their own, which alone show how well captions and images match: their
        numbers, (M,) int64."""
        return np.flatnonzero([example.own_captions for example in self.examples])

    @cached_property
    def cache(self) -> ImageCache:
        """The prepared images; built on first use."""
        name = f"{self.index.name}-{self.split}-{self._kept}"
        return ImageCache(name, self.index.root, self.examples, self.sizes[-1], self.crop, self.resize)

    def to(self, device: torch.device | str) -> "ImageTextDataset":
        """This data set, with its images on ``device`` where that pays (:func:`resident.fits`): batches are then made
        and lie there, with the very values that they have on the host."""
        device = torch.device(device)
        self.resident = ResidentImages(self.cache, self.sizes, device) if fits(self.cache, device) else None
        return self

    def images(self, indices: Sequence[int], rng: np.random.Generator, part: slice = slice(None)) -> list[Tensor]:
        """Random crops, mirrored half the time: one (B, 3, s, s) tensor in [-1, 1] per size, small to large.

        ``part`` loads only that slice of the batch, with the same crops as the whole batch would have.
        """
        indices, draws = np.asarray(indices)[part], rng.random((len(indices), 3))[part]
        if self.resident is not None:
            return self.resident.random_crops(indices, draws)
        chosen = zip(indices, draws, strict=True)
        return self._pyramids([images.random_crop(self.cache[index], self.sizes[-1], draw) for index, draw in chosen])

    def evaluation_images(self, indices: Sequence[int]) -> list[Tensor]:
        """The middle of each image, never mirrored: one (B, 3, s, s) tensor in [-1, 1] per size, small to large."""
        if self.resident is not None:
            return self.resident.centre_crops(np.asarray(indices))
        return self._pyramids([images.centre_crop(self.cache[index], self.sizes[-1]) for index in indices])

    def middles(self, batch_size: int = 32) -> Iterator[Tensor]:
        """The middle of every image at the largest size, batch by batch: uint8 (B, 3, s, s)."""
        for part in torch.arange(len(self)).split(batch_size):
            yield images.to_uint8(self.evaluation_images(part.tolist())[-1])

    def captions(
        self, indices: Sequence[int], rng: np.random.Generator, count: int = 1, replace: bool = True
    ) -> list[list[str]]:
        """For each image ``count`` of its captions, drawn with replacement or without.

        Raises :class:`UserError` where an image has fewer captions than are drawn without replacement.
        """
        drawn = []
        for example in (self.examples[index] for index in indices):
            have = len(example.captions)
            if not replace and have < count:
                problem = f"{example.key} has {have} captions, and {count} different ones are drawn"
                raise UserError(problem, "Write more captions for it, or draw fewer of each image.")
            picks = rng.integers(have, size=count) if replace else rng.permutation(have)[:count]
            drawn.append([example.captions[k] for k in picks])
        return drawn

    def _pyramids(self, crops: list[np.ndarray]) -> list[Tensor]:
        levels = zip(*(images.pyramid(crop, self.sizes) for crop in crops), strict=True)
        return [images.to_tensor(level) for level in levels]


def rng_for(seed: int, step: int, stream: str) -> np.random.Generator:
    """The generator of one purpose (``stream``) at one step; different purposes never share their numbers."""
    return np.random.default_rng([seed, step, zlib.crc32(stream.encode())])


def batch_indices(length: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The images of batch ``step`` (from 0): each epoch is shuffled anew and its incomplete last batch is dropped.

    A batch larger than the data set is cut to its ``length``.
    """
    batch = min(batch_size, length)
    epoch, position = divmod(step, length // batch)
    order = rng_for(seed, epoch, "shuffle").permutation(length)
    return order[position * batch : (position + 1) * batch]


def distinct_class_indices(labels: np.ndarray, batch_size: int, seed: int, step: int) -> np.ndarray:
    """One random image from each of min(``batch_size``, classes) different classes (batches of the joint embedding)."""
    rng = rng_for(seed, step, "classes")
    order = np.argsort(labels, kind="stable")  # the images of a class stand together
    firsts = np.flatnonzero(np.diff(labels[order], prepend=labels.min() - 1))
    ends = np.append(firsts[1:], len(labels))
    return np.array([order[rng.integers(firsts[k], ends[k])] for k in rng.permutation(len(firsts))[:batch_size]])


def wrong_indices(labels: np.ndarray, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """For each image another one of a different class, uniformly: the wrong image of Reed's (wrong image, right text).

    Labels that are unique per image give any other image. Raises :class:`UserError` where there is one class only.
    """
    return of_other_classes(labels, labels[np.asarray(indices)], rng)


def of_other_classes(labels: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of ``classes`` (N,) a place in ``labels`` where another class stands, uniformly and with replacement."""
    if (labels == labels[0]).all():
        raise UserError("All images are of one class", "Wrong pairs need two: check the classes and the split.")
    wrong = rng.integers(len(labels), size=len(classes))
    while (same := labels[wrong] == classes).any():
        wrong[same] = rng.integers(len(labels), size=same.sum())
    return wrong


def loader_threads() -> int:
    """How many threads prepare batches by default: half the cores that are there for this process, 1 to 8.

    ``torchrun`` starts ``LOCAL_WORLD_SIZE`` processes on a machine, which share its cores, and sets OMP_NUM_THREADS to
    1: a batch is then computed by one thread, and only several of these threads make it faster.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // (2 * int(os.environ.get("LOCAL_WORLD_SIZE", 1)))), 8)


def prefetch(
    make: Callable[[int], T], first: int, last: int, workers: int | None = None, ahead: int | None = None
) -> Iterator[T]:
    """``make(step)`` from ``first`` to before ``last`` in order, up to ``ahead`` of them made while one is used.

    ``workers`` threads make them (:func:`loader_threads` by default, with two steps ahead each), so ``make`` must be a
    function of the step alone. What goes wrong in a step is raised in its turn. When the iterator is closed, no step is
    begun any more, and those in work are waited for.
    """
    workers = loader_threads() if workers is None else workers
    ahead = 2 * workers if ahead is None else ahead
    # Each thread that computes has a team of OpenMP threads; two full teams on few cores double the time of a step.
    few = max(1, torch.get_num_threads() // (4 * workers))
    pool = ThreadPoolExecutor(workers, "prefetch", initializer=torch.set_num_threads, initargs=(few,))
    try:
        coming = deque(pool.submit(make, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            if step + ahead < last:
                coming.append(pool.submit(make, step + ahead))
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of_each_class(examples: list[Example], limit: int) -> list[Example]:
    if not limit:
        return examples
    kept, seen = [], {}
    alone = len({example.class_id for example in examples}) == 1
    for example in examples:
        seen[example.class_id] = seen.get(example.class_id, 0) + 1
        if seen[example.class_id] <= limit * (_AS_MANY_CLASSES if alone or example.class_id is None else 1):
            kept.append(example)
    return kept


def dense_labels(examples: Sequence[Example], one_is_none: bool = False) -> np.ndarray:
    """The class of each example as a number from 0 on, (N,) int64; one without a class is a class of its own.
    ``one_is_none``: a single class says nothing that could be learned, and counts as none."""
    none = one_is_none and len({example.class_id for example in examples}) == 1
    own = [("", number) if none or e.class_id is None else ("class", e.class_id) for number, e in enumerate(examples)]
    numbers = {label: number for number, label in enumerate(sorted(set(own)))}
    return np.array([numbers[label] for label in own], dtype=np.int64)
