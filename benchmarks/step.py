"""What the layout of the images is worth in a training step: ``python benchmarks/step.py``. Prints a ratio."""

import statistics
import time

import torch

from t2i import config as configs
from t2i import data, device
from t2i.training import RECIPES

STEPS = 15


def step_seconds(recipe, batch, layout) -> float:
    """The median time of a step of GAN-CLS with networks and images in ``layout``."""
    for network in recipe.networks.values():
        network.to(memory_format=layout)
    recipe.to_device = lambda t: t.contiguous(memory_format=layout) if t.ndim == 4 else t
    times = []
    for k in range(STEPS + 3):
        start = time.perf_counter()
        recipe.train_step(batch, k)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def main() -> None:
    config = configs.load("gan-cls", "aviary", "cpu", device="cpu")
    index = data.load(config)
    recipe = RECIPES["gan-cls"](config, index, device.start("cpu"))
    batch = recipe.batch(0)
    plain, last = (step_seconds(recipe, batch, layout) for layout in (torch.contiguous_format, torch.channels_last))
    print(f"channels-last: a step takes {last / plain:.2f} of the time of the default layout")


if __name__ == "__main__":
    main()
