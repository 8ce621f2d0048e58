"""What a batch of images costs a loader thread: ``python benchmarks/loading.py``. Times depend on the machine.

Ratios of three ways: decoding the pictures anew, cutting crops from the cache and scaling them with Pillow (the host),
and making the batch on the device from the resident set. The last line is what several loader threads are worth.
"""

import time

import numpy as np
import torch

from t2i import config as configs
from t2i import data
from t2i.data import images
from t2i.data.cache import decode
from t2i.data.dataset import ImageTextDataset, loader_threads, prefetch, rng_for
from t2i.data.resident import ResidentImages

REPEATS, STEPS = 15, 20
BATCHES = {  # images in a batch, and their sizes
    "profile cpu": (16, (8, 16, 32)),
    "GAN-CLS": (64, (64,)),
    "AttnGAN at 64 px": (20, (16, 32, 64)),
    "DAMSM": (48, (299,)),
    "AttnGAN": (20, (64, 128, 256)),
}


def seconds(*works) -> list[float]:
    """The shortest time of each of ``works``, which take turns: whatever else the machine does only adds to it."""
    times = [[] for _ in works]
    for _ in range(REPEATS):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def compare(name: str, part: ImageTextDataset, chosen: np.ndarray, device: torch.device) -> None:
    """Print one row: milliseconds on the host, and how many times as long the other ways take."""
    resident = ResidentImages(part.cache, part.sizes, device)
    draws = rng_for(0, 0, "benchmark").random((len(chosen), 3))

    def decoding():
        pictures = [np.asarray(decode(part.examples[i], part.sizes[-1], part.crop, part.resize)) for i in chosen]
        return [images.pyramid(images.centre_crop(picture, part.sizes[-1]), part.sizes) for picture in pictures]

    def on_device():
        made = resident.random_crops(chosen, draws)
        return float(made[-1][0, 0, 0, 0])  # waits for the device

    host, anew, there = seconds(lambda: part.images(chosen, rng_for(0, 0, "benchmark")), decoding, on_device)
    label = f"{name}, {len(chosen)} × {'+'.join(map(str, part.sizes))} px"
    print(f"{label:<36}{1000 * host:8.2f} ms{anew / host:10.1f} ×{there / host:10.2f} ×", flush=True)


def threads(part: ImageTextDataset, chosen: np.ndarray) -> None:
    """Print how much faster several threads load than one does."""

    def load(workers):
        for _ in prefetch(lambda step: part.images(chosen, rng_for(0, step, "benchmark")), 0, STEPS, workers):
            pass

    many = max(2, loader_threads())
    one, several = seconds(lambda: load(1), lambda: load(many))
    print(f"{many} loader threads: {one / several:.2f} times as many batches as one")


def main() -> None:
    torch.set_num_threads(1)  # as in a loader thread
    config = configs.load("gan-cls", "aviary", "cpu")
    index = data.load(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{'':<36}{'host':>11}{'decoding':>12}{f'on the {device.type}':>12}")
    for name, (batch, sizes) in BATCHES.items():
        part = ImageTextDataset(index, "train", sizes, config.crop, config.resize, limit=100)
        chosen = np.arange(batch)
        compare(name, part, chosen, device)
    threads(part, chosen)


if __name__ == "__main__":
    main()
