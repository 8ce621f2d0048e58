"""How much the image cache saves: ``python benchmarks/loading.py``. Prints ratios; times depend on the machine."""

import statistics
import time

import numpy as np

from t2i import config as configs
from t2i import data
from t2i.data import images
from t2i.data.cache import decode
from t2i.data.dataset import ImageTextDataset, rng_for

BATCH, REPEATS = 64, 9


def seconds(work) -> float:
    """The median time of ``work`` after one call to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    config = configs.load("gan-cls", "aviary", "cpu")
    index = data.load(config)
    for sizes in ((32,), (8, 16, 32), (64,)):
        part = ImageTextDataset(index, "train", sizes, config.crop, config.resize)
        chosen = np.arange(BATCH)

        def decoding(part=part, sizes=sizes, chosen=chosen):
            pictures = [np.asarray(decode(part.examples[i], sizes[-1], part.crop, part.resize)) for i in chosen]
            return [images.pyramid(images.centre_crop(picture, sizes[-1]), sizes) for picture in pictures]

        cached = seconds(lambda part=part, chosen=chosen: part.images(chosen, rng_for(0, 0, "benchmark")))
        anew = seconds(decoding)
        name = "+".join(map(str, sizes))
        print(f"{name:>8} px: decoding each time takes {anew / cached:.1f} times as long as the cache")


if __name__ == "__main__":
    main()
