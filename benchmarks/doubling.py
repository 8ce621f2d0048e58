"""What :class:`UpConv2d` saves: ``python benchmarks/doubling.py [DEVICE]``. Prints ratios, plain / fast.

Every doubling of AttnGAN, DM-GAN and StackGAN at paper and at ``cpu`` size, channels-last as in training. Both ways
run in turn and the shortest time of each counts, so that whatever else the machine does decides nothing.
"""

import sys
import time

import torch

from t2i import config as configs
from t2i import device, models
from t2i.models.blocks import UpConv2d
from t2i.text import TextFeatures

MODELS = ("attngan", "dm-gan", "stackgan-cnn")
BATCH = {"paper": 10, "cpu": 16}
SECONDS = 2.0  # for each ratio, or three repeats where they take longer


def doublings(name: str, profile: str) -> list[tuple[int, int, int, int]]:
    """(batch, channels, out, side) of every doubling in the generator, in order; nothing is computed."""
    config, found = configs.load(name, "cub", profile, batch_size=BATCH[profile]), []
    with torch.device("meta"):
        generator = models.from_config(config).generator
        words, noise = torch.empty(config.batch_size, 256, 18), torch.empty(config.batch_size, generator.noise_size)
        sentence = torch.empty(config.batch_size, getattr(config, "sentence_size", 256))
        for layer in generator.modules():
            if isinstance(layer, UpConv2d):
                layer.register_forward_hook(
                    lambda layer, given, _: found.append((len(given[0]), *layer.weight.shape[1::-1], given[0].shape[3]))
                )
        generator(noise, TextFeatures(words, sentence, None))
    return found


def seconds(layer: UpConv2d, x: torch.Tensor, backward: bool, mixed: bool) -> float:
    start = time.perf_counter()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed), torch.set_grad_enabled(backward):
        out = layer(x)
    if backward:
        torch.autograd.grad(out, [x, layer.weight], out.detach())
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(layer: UpConv2d, x: torch.Tensor, backward: bool, mixed: bool) -> tuple[float, float]:
    """The plain way's milliseconds, and how many times as long as the fast one it takes."""
    least, spent = {True: float("inf"), False: float("inf")}, 0.0
    for k in range(1000):
        for layer.fast in least:
            took = seconds(layer, x, backward, mixed)
            least[layer.fast] = min(least[layer.fast], took)
            spent += took
        if spent > SECONDS and k >= 2:
            break
    return 1000 * least[False], least[False] / least[True]


def main() -> None:
    UpConv2d.fast_from = 1  # small pictures too, so that the rule can be seen
    where = device.choose(*sys.argv[1:])
    print(f"{'':40}{'float32':>28}{'bf16-mixed':>28}\n{'plain / fast':40}" + f"{'forward':>14}{'and backward':>14}" * 2)
    for name in MODELS:
        for profile in BATCH:
            for batch, channels, out, side in sorted(set(doublings(name, profile)), key=lambda row: row[3]):
                layer = UpConv2d(channels, out).to(where, memory_format=torch.channels_last)
                x = torch.randn(batch, channels, side, side, device=where).to(memory_format=torch.channels_last)
                x.requires_grad_()
                print(f"{name:13}{profile:6}{batch:3} x {channels:3} -> {out:3}, {side:3} px", end="  ", flush=True)
                for mixed in (False, True):
                    for backward in (False, True):
                        plain, times = ratio(layer, x, backward, mixed)
                        print(f"{plain:8.1f} ms{times:5.2f}", end="", flush=True)
                print()


if __name__ == "__main__":
    main()
