"""Decoded pictures on disk: one flat file of uint8 pixels per preparation, so that no JPEG is decoded twice."""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from t2i import locks, paths
from t2i.data import images
from t2i.data.index import Example
from t2i.errors import UserError
from t2i.progress import tqdm

_CHUNK = 256  # images decoded ahead of the writer: bounds the memory
_LARGE = 10**9  # bytes from which a cache is announced, and refused where the disk cannot hold it
_SAMPLE = 64  # images that are decoded to say how large it will be
_VERSION = b"2"  # changes with the preparation itself, so that no old pixels are taken for new ones

_MEND = "Make room, or name another place in T2I_DATA."


def decode(example: Example, size: int, crop: str, resize: str) -> np.ndarray:
    """The image of ``example`` after :func:`images.prepare`; every :class:`UserError` names its file."""
    image = images.open_rgb(example.image, example.as_shown)
    try:
        return np.asarray(images.prepare(image, example.box, size, crop, resize))
    except UserError as error:
        raise UserError(f"{example.image}: {error.problem}", error.mend) from None


class ImageCache:
    """``cache[i]`` is the prepared image of ``examples[i]``, a read-only (H, W, 3) uint8 view of a memory-mapped file.

    The file lies in :func:`paths.cache_root` and is built on first use and again when the list of files, a file's size
    or time, or a box has changed. It is whole or absent. One process builds it while the others of its machine wait;
    where two build at the same time after all (machines that share a disk), each writes a file of its own and the last
    rename wins: they hold the same bytes. ``starts`` (N + 1,) are the bytes where the images begin and the last ends.
    Raises :class:`UserError` for a bad image, with its name, and for a large cache that the disk has no room for.
    """

    def __init__(self, name: str, root: Path, examples: Sequence[Example], size: int, crop: str, resize: str):
        self.examples, self.preparation = examples, (size, crop, resize)
        place = hashlib.sha256(str(Path(root).resolve()).encode()).hexdigest()[:8]
        self.file = paths.cache_root() / f"{name}-{size}-{crop}-{resize}-{place}.uint8"
        self._header = self.file.with_suffix(".json")
        sources = self._sources()
        shapes = self._valid_shapes(sources)
        if shapes is None:
            with locks.turn(self.file.with_suffix(".lock")):  # it saves work, nothing depends on it
                shapes = self._valid_shapes(sources) or self._build(sources)
        self.shapes = shapes
        self.starts = np.cumsum([0, *(height * width * 3 for height, width in shapes)], dtype=np.int64)
        self._sound = np.zeros(len(shapes), dtype=bool)  # the images that were looked at and are as they were written
        self._pixels = np.memmap(self.file, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> np.ndarray:
        index = int(index)
        start, end = self.starts[index], self.starts[index + 1]
        pixels = self._pixels[start:end]
        if not self._sound[index]:
            self._check(index, pixels)
        return pixels.reshape(*self.shapes[index], 3)

    def _check(self, index: int, pixels: np.ndarray) -> None:
        """:class:`UserError` where ``pixels`` are not those that were written: a disk has changed them since."""
        if zlib.crc32(pixels) != self._sums[index]:
            self._header.unlink(missing_ok=True)
            problem = f"{self.file} is damaged: the picture {self.examples[index].key} is not as it was written"
            raise UserError(problem, "Run the command again: all of it is decoded anew.")
        self._sound[index] = True

    def verify(self) -> None:
        """Check all images, for whoever reads the file as a whole."""
        for index in range(len(self)):
            self[index]

    @property
    def nbytes(self) -> int:
        """The bytes of all images together."""
        return int(self.starts[-1])

    @property
    def digest(self) -> str:
        """Sixteen hex digits over the pixels of all images: what they are, wherever they lie."""
        return hashlib.sha256(json.dumps([self.shapes, self._sums]).encode()).hexdigest()[:16]

    def _sources(self) -> str:
        """A digest of everything that the pixels depend on, besides the preparation in the file's name."""
        digest = hashlib.sha256(_VERSION + PIL.__version__.encode())  # Pillow 13 rounds tall pictures in another order
        for example in self.examples:
            try:
                status = os.stat(example.image)
            except OSError:
                images.open_rgb(example.image)  # says what is wrong with it
                raise
            digest.update(
                f"{example.key}|{example.box}|{example.as_shown}|{status.st_size}|{status.st_mtime_ns}\n".encode()
            )
        return digest.hexdigest()

    def _valid_shapes(self, sources: str) -> list[tuple[int, int]] | None:
        """The (height, width) of every image where the file on disk is the right one."""
        try:
            header = json.loads(self._header.read_text(encoding="utf-8"))
            shapes = [(height, width) for height, width in header["shapes"]]
            self._sums = [int(number) for number in header["sums"]]
            whole = self.file.stat().st_size == sum(height * width * 3 for height, width in shapes)
            right = header["sources"] == sources and len(self._sums) == len(shapes) == len(self.examples) and whole
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return shapes if right else None

    def _announce(self) -> None:
        """Say how large a large cache will be; :class:`UserError` where its disk has no room for it."""
        size, _, resize = self.preparation
        needed = len(self.examples) * 3 * images.prepared_side(size) ** 2
        if needed < _LARGE:
            return
        if resize == "shorter":  # the longer sides are not known before
            sample = self.examples[:: max(1, len(self.examples) // _SAMPLE)]
            needed = len(self.examples) * sum(decode(e, *self.preparation).nbytes for e in sample) // len(sample)
        free = shutil.disk_usage(self.file.parent).free
        if needed > free:
            problem = f"{self.file} needs about {needed / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB free"
            raise UserError(problem, _MEND)
        tqdm.write(f"The prepared images will take about {needed / 1e9:.1f} GB: {self.file}")

    def _build(self, sources: str) -> list[tuple[int, int]]:
        self._announce()
        shapes, sums = [], []

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                for picture in self._decoded():
                    shapes.append(picture.shape[:2])
                    sums.append(zlib.crc32(np.ascontiguousarray(picture)))
                    file.write(picture)
            self._header.unlink(missing_ok=True)  # an old header must never meet the new pixels

        paths.write_atomically(self.file, write)
        paths.write_json(self._header, {"sources": sources, "shapes": shapes, "sums": sums})
        self._sums = sums
        return shapes

    def _decoded(self) -> Iterator[np.ndarray]:
        bar = tqdm(total=len(self.examples), desc=f"decoding images to {self.preparation[0]} px", unit="image")
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool, bar:
            for first in range(0, len(self.examples), _CHUNK):
                chunk = self.examples[first : first + _CHUNK]
                for picture in pool.map(lambda example: decode(example, *self.preparation), chunk):
                    yield picture
                    bar.update()
