"""A split that lives on the device: crops, mirrors and pyramids are made there, equal to Pillow's to the bit.

Pillow scales in 8-bit arithmetic: weights of a triangle (as wide as the shrinkage, which is its antialiasing) rounded
to multiples of 2⁻²², first along the rows, then along the columns, each time rounded to a whole number. Here a pass is
one matrix product in float64. Every partial sum is a multiple of 2⁻²² below 2⁸: it fits the 53 bits of a double, so
nothing is rounded in whatever order a device adds, and GPUs give the same bits as Pillow.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from t2i.data.cache import ImageCache

SHARE = 0.25  # of the free memory of a GPU: networks, their gradients and Adam's moments need the rest
CPU_SIDE = 64  # px up to which a CPU is faster with matrices than with Pillow (benchmarks/loading.py)
_UNIT = 2.0**-22  # what Pillow rounds its weights to


def fits(images: ImageCache, device: torch.device) -> bool:
    """Whether batches of ``images`` are best made on ``device``.

    With CUDA, where the images take at most a quarter of the free memory. On a CPU they stay in the mapped file and
    take no memory; there, it is a matter of speed. Apple's GPUs have no float64.
    """
    if device.type == "cuda":
        return images.nbytes <= SHARE * torch.cuda.mem_get_info(device)[0]
    return device.type == "cpu" and images.preparation[0] <= CPU_SIDE


class ResidentImages:
    """The images of a cache on ``device``, and the batches that are cut from them there.

    A batch is one float (B, 3, s, s) tensor in [-1, 1] per size of ``sizes``, small to large, in channels-last layout;
    its values are those of the same call on the host. Nothing waits for the device: a few numbers per image are sent
    to it, and the work is queued on the stream of the thread that calls.
    """

    def __init__(self, images: ImageCache, sizes: tuple[int, ...], device: torch.device):
        images.verify()
        self.sizes, self.device = sizes, device
        self._starts = images.starts // 3
        self._heights, self._widths = np.array(images.shapes, dtype=np.int64).T
        # On a CPU this is a view of the file, not a copy.
        self.pixels = torch.from_file(str(images.file), size=images.nbytes, dtype=torch.uint8).to(device).view(-1, 3)
        self._steps = torch.arange(sizes[-1], device=device)
        # A tensor of the device: by a number, CUDA multiplies with the reciprocal, which may differ in the last bit.
        self._half = torch.tensor(127.5, device=device)

    def random_crops(self, indices: np.ndarray, draws: np.ndarray) -> list[Tensor]:
        """The crops of :func:`images.random_crop`; ``draws`` (B, 3) from [0, 1) are top, left and flip."""
        tops = (draws[:, 0] * (self._heights[indices] - self.sizes[-1] + 1)).astype(np.int64)
        lefts = (draws[:, 1] * (self._widths[indices] - self.sizes[-1] + 1)).astype(np.int64)
        return self._pyramids(indices, tops, lefts, draws[:, 2] < 0.5)

    def centre_crops(self, indices: np.ndarray) -> list[Tensor]:
        """The crops of :func:`images.centre_crop`."""
        tops, lefts = ((sides[indices] - self.sizes[-1]) // 2 for sides in (self._heights, self._widths))
        return self._pyramids(indices, tops, lefts, np.zeros(len(indices), dtype=bool))

    def _pyramids(self, indices: np.ndarray, tops: np.ndarray, lefts: np.ndarray, mirrored: np.ndarray) -> list[Tensor]:
        side, widths = self.sizes[-1], self._widths[indices]
        corners = self._starts[indices] + tops * widths + lefts
        corners, widths, mirrored = self._send(np.stack([corners, widths, mirrored]))[..., None]
        lines = corners + widths * self._steps
        columns = torch.where(mirrored.bool(), self._steps.flip(0), self._steps)
        places = lines[:, :, None] + columns[:, None]  # of the pixels of the crops: (B, s, s)
        crops = self.pixels.index_select(0, places.flatten()).view(-1, side, side, 3).permute(0, 3, 1, 2)
        planes = crops.contiguous().double() if len(self.sizes) > 1 else None
        return [self._finished(crops if size == side else bilinear(planes, size)) for size in self.sizes]

    def _finished(self, pictures: Tensor) -> Tensor:
        """:func:`images.from_uint8`, to the same bits on every device."""
        return pictures.to(torch.float32, memory_format=torch.channels_last).div_(self._half).sub_(1)

    def _send(self, numbers: np.ndarray) -> Tensor:
        host = torch.from_numpy(numbers)
        host = host.pin_memory() if self.device.type == "cuda" else host
        return host.to(self.device, non_blocking=True)


def bilinear(planes: Tensor, size: int) -> Tensor:
    """Pillow's bilinear filter of square 8-bit pictures: (..., S, S) whole numbers from 0 to 255 in float64 to (...,
    size, size) of the same kind. (Of tall pictures, which no crop is, Pillow 13 scales the columns first.)"""
    kernel = weights(planes.shape[-1], size, planes.device)
    narrow = (planes @ kernel).add_(0.5).floor_()
    return (kernel.T @ narrow).add_(0.5).floor_()


@cache
def weights(source: int, target: int, device: torch.device) -> Tensor:
    """What each of ``source`` pixels gives to each of ``target``: (source, target) float64, columns that add up to 1.

    The numbers follow Pillow's ``precompute_coeffs`` step by step, since another order of the same sum may round a
    weight differently.
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + support + 0.5).astype(np.int64), source)
    taps = np.arange(source)[:, None]
    triangle = np.maximum(1 - np.abs((taps - centres + 0.5) * (1 / support)), 0)
    triangle[(taps < first) | (taps >= end)] = 0
    shares = triangle / np.cumsum(triangle, axis=0)[-1]
    return torch.from_numpy(np.floor(shares / _UNIT + 0.5) * _UNIT).to(device)
