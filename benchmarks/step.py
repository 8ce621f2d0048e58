"""A whole training step against a plain transcription: ``python benchmarks/step.py``. Prints ratios, plain / ours.

AttnGAN and DM-GAN at the papers' size, and the seven models of several stages at that of profile ``cpu``. A step is all
of it: the batch, both players, the average. The plain trainer has no fast path: doublings are doublings, pictures are
NCHW, D's weights get gradients that G's step has no use for, Adam and the average go from parameter to parameter, every
picture is decoded anew, and all of it is float32. Both run in turn, each in blocks with its loader ahead of it, and the
shortest block of each counts, so that whatever else the machine does decides little. Data and encoders are made up.
"""

import argparse
import copy
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from t2i import config as configs
from t2i import data, device, paths
from t2i.config import COMPOSITIONS, MultiStageConfig
from t2i.data import aviary
from t2i.data.cache import decode
from t2i.data.dataset import prefetch
from t2i.models.blocks import UpConv2d
from t2i.models.spatial import SpatialMemory
from t2i.provenance import hardware
from t2i.text import trunks
from t2i.text.damsm import ImageEncoder, TextEncoder
from t2i.training.average import Average, recalibrate_batch_norm
from t2i.training.encoders import Encoders
from t2i.training.gan import Gan
from t2i.training.recipe import Basis
from t2i.training.texts import vocabulary

ROWS = {"paper": ("attngan", "dm-gan"), "cpu": tuple(name for name, stages in COMPOSITIONS.items() if len(stages) > 1)}
BLOCK = 1.0  # seconds that a block of steps is to take
PRECISIONS = ("32-true", "auto")


class Ours(Gan):
    """The step that ``fit`` makes, with the average that follows it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.average = Average(self.networks["generator"], self.config.ema_decay)

    def step(self, batch, number: int) -> None:
        device.seed_step(self.config.seed, number)
        self.train_step(batch, number)
        self.average.update(self.networks["generator"])


class Plain(Gan):
    """The same step as the papers' trainers write it down."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.average = copy.deepcopy(self.networks["generator"]).requires_grad_(False)
        for module in self.networks["generator"].modules():
            if isinstance(module, UpConv2d | SpatialMemory):
                module.fast = False
        self.data.resident, self.data.cache = None, Decoded(self.data)

    def add(self, name, optimizer, called=None):
        wrapped, self.optimizers[name] = self.fabric.setup(called or self.networks[name], optimizer)
        return wrapped

    def adam(self, name):
        return torch.optim.Adam(self.networks[name].parameters(), self.config.learning_rate, betas=(0.5, 0.999))

    def to_device(self, tensor):
        return tensor.to(self.fabric.device)

    def step(self, batch, number: int) -> None:
        device.seed_step(self.config.seed, number)
        reals = [self.to_device(image) for image in batch.images]
        text = self.texts.read(batch.text, self.fabric.device)
        made = self.generator(self.to_device(batch.noise), text, self.to_device(batch.eps))
        fakes = [image.detach() for image in made.images]
        self.update("discriminators", self.discriminator_losses(reals, fakes, text.sentence, []).sum())
        terms = self.objective.generator(self.discriminators, made, text, self.to_device(batch.classes))
        self.update("generator", sum(terms.values()))
        for mean, live in zip(self.average.parameters(), self.networks["generator"].parameters(), strict=True):
            mean.mul_(self.config.ema_decay).add_(live.detach(), alpha=1 - self.config.ema_decay)


class Decoded:
    """In the place of the cache: a picture is decoded whenever it is asked for."""

    def __init__(self, part):
        self.part = part

    def __getitem__(self, index):
        part = self.part
        return decode(part.examples[index], part.sizes[-1], part.crop, part.resize)


def basis(config: MultiStageConfig, index: data.Index) -> Basis:
    """Encoders as large as the model's, with random weights: what they say costs the same."""
    damsm = configs.needs(config)["encoder"]
    words = vocabulary(index, config.captions_per_image)
    image = ImageEncoder(trunks.build(damsm.trunk, damsm.trunk_width, damsm.trunk_size))
    recalibrate_batch_norm(image, lambda _: image(torch.randn(2, 3, damsm.image_size, damsm.image_size)))
    text = TextEncoder(len(words), damsm.rnn)
    return Basis(Encoders(damsm, text.state_dict(), image.state_dict(), {"vocabulary": words.words[1:]}))


def trainer(kind: type[Gan], config: MultiStageConfig, index: data.Index, on: Basis) -> Gan:
    fabric = device.start(config.device, config.precision)
    device.seed_step(config.seed, -1)
    return kind(config, index, fabric, Gan.build(config, index, on), on)


def seconds(made: Gan, count: int) -> float:
    """What a step takes, over ``count`` of them with the loader ahead; one more, while it fills, goes before."""
    moments = []
    for number, batch in enumerate(prefetch(made.batch, 0, count + 1)):
        made.step(batch, number)
        if number in (0, count):
            wait(made)
            moments.append(time.perf_counter())
    return (moments[1] - moments[0]) / count


def wait(made: Gan) -> None:
    if made.fabric.device.type == "cuda":
        torch.cuda.synchronize()


def measure(config: MultiStageConfig, index: data.Index, limit: float) -> dict:
    """One row: seconds of a step of either trainer, their ratio and, on a GPU, the most memory that each took (GB)."""
    on, gpu = basis(config, index), device.choose(config.device) == "cuda"
    trainers, memory, least = {}, {}, {}
    for kind in (Plain, Ours):
        plain = {"precision": "32-true", "compile": False} if kind is Plain else {}
        settings = MultiStageConfig(**vars(config) | plain)
        before = torch.cuda.memory_allocated() if gpu else 0
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        trainers[kind] = trainer(kind, settings, index, on)
        least[kind] = seconds(trainers[kind], 2)
        if gpu:
            memory[kind] = round((torch.cuda.max_memory_allocated() - before) / 1e9, 2)
    end, counts = time.monotonic() + limit, {kind: min(max(1, round(BLOCK / s)), 100) for kind, s in least.items()}
    for k in range(1000):
        for kind, made in trainers.items():
            least[kind] = min(least[kind], seconds(made, counts[kind]))
        if time.monotonic() > end and k:
            break
    return {
        "model": config.model, "size": config.profile, "batch": trainers[Ours].batch_size,
        "precision": config.precision, "compile": config.compile, "plain": least[Plain], "ours": least[Ours],
        "ratio": least[Plain] / least[Ours],
        **({"plain_gb": memory[Plain], "ours_gb": memory[Ours]} if gpu else {}),
    }  # fmt: skip


@contextmanager
def made_up_birds():
    """A small Aviary at 256 px, and nothing that stays."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["T2I_DATA"] = folder
        aviary.write(Path(folder) / "birds", size=256, images_per_species=2)
        yield str(Path(folder) / "birds")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile; the plain trainer stays as is")
    parser.add_argument("--sizes", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--models", nargs="+", default=list(COMPOSITIONS), help="of each size, these")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--batch", type=int, help="at the papers' size, so that a CPU comes to an end")
    parser.add_argument("--seconds", type=float, default=20, help="for each row, besides two blocks of either trainer")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no row is begun")
    parser.add_argument("--json", type=Path, help="a file for the rows, written after each")
    return parser.parse_args()


def rows(given: argparse.Namespace, root: str):
    """The config of every row; a precision that this machine resolves to one it had already is left out."""
    for size in given.sizes:
        batch = {"batch_size": given.batch} if given.batch and size == "paper" else {}
        for model in (name for name in ROWS[size] if name in given.models):
            for precision in dict.fromkeys(device.resolve_precision(p, given.device) for p in given.precisions):
                settings = dict(root=root, device=given.device, precision=precision, compile=given.compile) | batch
                yield configs.load(model, "aviary", size, **settings)


def main() -> None:
    given, start, found = arguments(), time.monotonic(), []
    machine = hardware(given.device)
    print(", ".join(f"{name} {value}" for name, value in machine.items()), "; compiled" if given.compile else "")
    print(f"{'':28}{'precision':>12}{'plain':>12}{'ours':>12}{'plain / ours':>14}", flush=True)
    with made_up_birds() as root:
        index = data.read("aviary", root).checked().with_words()
        for config in rows(given, root):
            if time.monotonic() - start > given.budget:
                print(f"{config.model} and what follows: no time left")
                break
            row = measure(config, index, given.seconds)
            found.append(row)
            label = f"{row['model']}, {row['size']}, {row['batch']} a batch"
            memory = f"   {row['plain_gb']:.1f} and {row['ours_gb']:.1f} GB" if "plain_gb" in row else ""
            times = "".join(f"{1000 * row[who]:9.0f} ms" for who in ("plain", "ours"))
            print(f"{label:28}{row['precision']:>12}{times}{row['ratio']:14.2f}{memory}", flush=True)
            if given.json:
                paths.write_json(given.json, {"hardware": machine, "rows": found})


if __name__ == "__main__":
    main()
