"""Batches of images and captions, each a pure function of (seed, step).

Nothing here keeps a random generator between steps. A run that was killed continues at step k with the very batches
that the unbroken run would have seen, with no generator state to save; and every process of a data-parallel run works
out the same global batch for itself and loads only its part of it.
"""

import zlib
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
from t2i.errors import UserError

T = TypeVar("T")
_AS_MANY_CLASSES = 40  # a set without classes is limited as one with Aviary's 40 would be


class ImageTextDataset:
    """One split of a data set: images at the sizes of a pyramid, captions, and dense class labels.

    ``sizes`` runs from small to large. ``crop`` and ``resize`` are those of :func:`images.prepare`.
    ``images_per_class`` keeps only the first n examples of each class (40 n in all where there are no classes); 0: all.
    ``labels`` is (N,) int64, 0 to classes - 1; where a data set has no classes, every image is a class of its own.
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
    ):
        if not index.split(split):
            raise UserError(f"{index.root} has no {split} images", "Check how it is split: python -m t2i data check.")
        self.index, self.split, self.sizes = index, split, tuple(sizes)
        self.crop, self.resize, self.images_per_class = crop, resize, images_per_class
        self.examples = _first_of_each_class(index.split(split), images_per_class)
        self.labels = _dense_labels(self.examples)

    @classmethod
    def from_config(cls, config: Config, index: Index, split: str = "train") -> "ImageTextDataset":
        """The ``split`` of ``index`` as ``config`` prepares its images."""
        sizes = getattr(config, "sizes", (config.image_size,))
        return cls(index, split, sizes, config.crop, config.resize, config.images_per_class)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def cache(self) -> ImageCache:
        """The prepared images; built on first use."""
        part = f"first{self.images_per_class}" if self.images_per_class else "all"
        name = f"{self.index.name}-{self.split}-{part}"
        return ImageCache(name, self.index.root, self.examples, self.sizes[-1], self.crop, self.resize)

    def images(self, indices: Sequence[int], rng: np.random.Generator, part: slice = slice(None)) -> list[Tensor]:
        """Random crops, mirrored half the time: one (B, 3, s, s) tensor in [-1, 1] per size, small to large.

        ``part`` loads only that slice of the batch, with the same crops as the whole batch would have.
        """
        draws = rng.random((len(indices), 3))
        chosen = zip(indices[part], draws[part], strict=True)
        return self._pyramids([images.random_crop(self.cache[index], self.sizes[-1], draw) for index, draw in chosen])

    def evaluation_images(self, indices: Sequence[int]) -> list[Tensor]:
        """The middle of each image, never mirrored: one (B, 3, s, s) tensor in [-1, 1] per size, small to large."""
        return self._pyramids([images.centre_crop(self.cache[index], self.sizes[-1]) for index in indices])

    def captions(self, indices: Sequence[int], rng: np.random.Generator, count: int = 1) -> list[list[str]]:
        """For each image ``count`` of its captions, drawn with replacement."""
        written = [self.examples[index].captions for index in indices]
        return [[captions[k] for k in rng.integers(len(captions), size=count)] for captions in written]

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
    classes = rng.permutation(np.unique(labels))[:batch_size]
    return np.array([rng.choice(np.flatnonzero(labels == label)) for label in classes])


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


def prefetch(make: Callable[[int], T], first: int, last: int) -> Iterator[T]:
    """``make(step)`` from ``first`` to before ``last``, each made in a thread while the one before is used."""
    # Each thread that computes has a team of OpenMP threads; two full teams on few cores double the time of a step.
    few = max(1, torch.get_num_threads() // 4)
    with ThreadPoolExecutor(1, "prefetch", initializer=torch.set_num_threads, initargs=(few,)) as pool:
        coming = pool.submit(make, first) if first < last else None
        for step in range(first, last):
            ready = coming.result()
            coming = pool.submit(make, step + 1) if step + 1 < last else None
            yield ready


def _first_of_each_class(examples: list[Example], limit: int) -> list[Example]:
    if not limit:
        return examples
    kept, seen = [], {}
    for example in examples:
        seen[example.class_id] = seen.get(example.class_id, 0) + 1
        if seen[example.class_id] <= limit * (_AS_MANY_CLASSES if example.class_id is None else 1):
            kept.append(example)
    return kept


def _dense_labels(examples: list[Example]) -> np.ndarray:
    own = [("", number) if e.class_id is None else ("class", e.class_id) for number, e in enumerate(examples)]
    numbers = {label: number for number, label in enumerate(sorted(set(own)))}
    return np.array([numbers[label] for label in own], dtype=np.int64)
