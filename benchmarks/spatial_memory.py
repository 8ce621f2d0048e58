"""What the cells save in MSMT-GAN's region attention: ``python benchmarks/spatial_memory.py``. Prints ratios.

The plain way encodes every slot, repeats its key and value for every pixel of its cell and convolves the whole picture
three times for the queries. Multiplications and the bytes that autograd holds are counted at the paper's size on the
meta device; the time, which depends on the machine, is taken on a small batch.
"""

import time

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from t2i.models.spatial import SpatialMemory, into_cells, out_of_cells

WIDTH, TEXT, WORDS, GRID, HEADS, BATCH = 48, 256, 18, 8, 6, 20


def plain(memory: SpatialMemory, features: Tensor, slots: Tensor) -> Tensor:
    """A head as the equations are printed, vectorised: a query, and a key and a value of each word, for every pixel."""
    cell = features.shape[2] // GRID
    globally, by_cell, by_pixel = memory.ask(features, GRID)
    parts = globally[..., None, None].expand_as(by_pixel), F.interpolate(by_cell, scale_factor=cell), by_pixel
    query = into_cells(torch.cat(parts, dim=1), GRID)  # (cells, pixels, 3 · width)
    keys, values = (
        conv(slots.flatten(0, 1)).unflatten(0, slots.shape[:2]).permute(0, 3, 4, 1, 2).flatten(0, 2)
        for conv in (memory.key, memory.value)
    )
    keys, values = (part.repeat_interleave(cell * cell, dim=0) for part in (keys, values))  # (pixels, T, channels)
    attention = (keys @ query.flatten(0, 1)[..., None]).softmax(dim=1)
    return out_of_cells((attention.mT @ values).reshape(-1, cell * cell, features.shape[1]), GRID)


def head(memory: SpatialMemory, side: int, fast: bool, batch: int):
    """A function that runs one head forward and backward, and one that runs it forward."""
    memory.fast = fast
    device = next(memory.parameters()).device
    features = torch.randn(batch, WIDTH, side, side, device=device, requires_grad=True)
    words = torch.randn(batch, TEXT, WORDS, device=device)

    def forward() -> Tensor:
        cells = F.avg_pool2d(features, side // GRID)
        if fast:
            return memory.read(features, memory.remember(cells, words), None)[0]
        return plain(memory, features, memory.write(cells, words))

    return (lambda: forward().sum().backward()), forward


def held(forward) -> int:
    """The bytes of all tensors that autograd keeps for the backward pass, each storage counted once."""
    storages, kept = {}, []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        kept.append(tensor)  # so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storages.values())


def seconds(step) -> float:
    step()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def main() -> None:
    print(f"Region attention, forward and backward: {HEADS} heads, {WORDS} words, {GRID} x {GRID} cells, batch {BATCH}")
    for side in (64, 128):
        flops, bytes_, times = [], [], []
        for fast in (True, False):
            with torch.device("meta"):
                memory = SpatialMemory(WIDTH, TEXT)
            step, forward = head(memory, side, fast, BATCH)
            with FlopCounterMode(display=False) as counter:
                step()
            flops.append(HEADS * counter.get_total_flops())
            bytes_.append(HEADS * held(forward))
            times.append(seconds(head(SpatialMemory(WIDTH, TEXT), side, fast, batch=1)[0]))
        print(
            f"{side:>4} px: {flops[0] / 1e9:,.0f} GFLOP, the plain way {flops[1] / flops[0]:.1f} times as many; "
            f"{bytes_[0] / 2**30:.1f} GiB held, the plain way {bytes_[1] / bytes_[0]:.1f} times as much; "
            f"the plain way takes {times[1] / times[0]:.1f} times as long"
        )


if __name__ == "__main__":
    main()
