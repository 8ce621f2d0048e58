"""The memory and the time of an evaluation at the size of the papers: ``python benchmarks/evaluation.py``.

30,000 pictures of 256 px are measured against 40,504 real ones, by a generator, a DAMSM and an Inception of the right
size with random weights. The networks see the first ``--pictures`` of each set, which is where the memory goes and what
the seconds per picture are taken from; the others repeat the last batch, with features of their own. Everything else,
the features of all pictures, their statistics, their distances and the captions of R-precision, is done in full.
"""

import argparse
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from t2i import config as configs
from t2i import models
from t2i.data.captions import Vocabulary
from t2i.data.dataset import ImageTextDataset
from t2i.data.index import Example, Index
from t2i.metrics import extractors, table
from t2i.metrics.evaluate import Evaluation
from t2i.metrics.protocols import Protocol
from t2i.text.damsm import ImageEncoder, TextEncoder
from t2i.text.features import ImageFeatures
from t2i.text.trunks import InceptionTrunk
from t2i.training.run import Run

MIB = 2**20


class Inception(FeatureExtractorInceptionV3):
    """The TensorFlow FID's network with random weights; of pictures beyond ``limit`` it makes random features."""

    limit = 0

    def __init__(self, name, layers, **_):
        with tempfile.NamedTemporaryFile() as file:
            torch.save({}, file.name)
            super().__init__(name, layers, feature_extractor_weights_path=file.name)
        self.seen = 0

    def load_state_dict(self, state):
        """There is none."""

    def forward(self, pictures):
        self.seen += len(pictures)
        if self.seen <= self.limit:
            return super().forward(pictures)
        return tuple(torch.rand(len(pictures), {"2048": 2048}.get(layer, 1008)) for layer in self.features_list)


class Damsm(ImageEncoder):
    """DAMSM's image encoder with random weights, which codes ``limit`` pictures and then makes random codes."""

    limit = seen = 0

    def forward(self, images):
        self.seen += len(images)
        return (
            super().forward(images) if self.seen <= self.limit else ImageFeatures(None, torch.randn(len(images), 256))
        )


class Drawer(Run):
    """A run of random networks, which draws ``limit`` pictures and repeats the last ones of these."""

    def __init__(self, config, words: list[str], limit: int):
        self.config, self.limit, self.state = config, limit, {"networks": {"discriminators": {}}}
        self.directory = Path("random")
        vocabulary = Vocabulary.build(words)
        self.text, self.image = TextEncoder(len(vocabulary)), Damsm(InceptionTrunk())
        self.text.vocabulary, self.image.limit = vocabulary, limit
        for network in (self.text, self.image):
            network.eval().requires_grad_(False)

    encoder = property(lambda self: self.text)
    image_encoder = property(lambda self: self.image)
    reads_words = sees_images = True

    @cached_property
    def generator(self):
        return models.from_config(self.config).generator.eval().requires_grad_(False)

    def stream(self, captions, seed=0):
        drawn = 0
        for pictures in super().stream(captions[: self.limit], seed):
            drawn += len(pictures)
            yield pictures
        while drawn < len(captions):
            pictures = pictures[: len(captions) - drawn]
            drawn += len(pictures)
            yield pictures


class OnePicture(ImageTextDataset):
    """A split that is large in count only."""

    def evaluation_images(self, indices):
        return super().evaluation_images([0] * len(indices))

    @cached_property
    def cache(self):
        whole, self.examples = self.examples, self.examples[:1]
        cache, self.examples = super().cache, whole
        return cache


@contextmanager
def watched(what: str, before: int):
    """Print how long the inside takes, and how far the memory rises in it above ``before`` bytes."""
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.01):
            peak[0] = max(peak[0], resident())

    watcher, start = threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    taken = [0.0]
    yield taken
    taken[0] = time.perf_counter() - start
    done.set()
    watcher.join()
    print(f"{what:<58}{taken[0]:8.1f} s{(peak[0] - before) / MIB:8,.0f} MiB above the networks", flush=True)


def resident() -> int:
    """The bytes of this process that no file holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def split(count: int, folder: Path, size: int) -> tuple[OnePicture, list[str]]:
    """``count`` pictures of 200 classes with five captions each, of words from a list of 5,000; and the words."""
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 256, (size * 2, size * 2, 3), dtype=np.uint8)).save(folder / "one.png")
    letters = "abcdefghijklmnopqrst"
    words = [f"w{letters[k // 400]}{letters[k // 20 % 20]}{letters[k % 20]}" for k in range(5000)]
    texts = [" ".join(words[k] for k in numbers) for numbers in draws.integers(len(words), size=(5 * count, 12))]
    examples = [
        Example(str(k), folder / "one.png", tuple(texts[5 * k : 5 * k + 5]), k % 200, "test") for k in range(count)
    ]
    return OnePicture(Index("one-picture", folder, examples), "test", (size,), "whole", "square"), words


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--generated", type=int, default=30_000)
    options.add_argument("--real", type=int, default=40_504)
    options.add_argument("--pictures", type=int, default=96, help="that the networks see of each set")
    given = options.parse_args()

    config = configs.load("attngan", "cub", "paper", device="cpu")
    Inception.limit = 2 * given.pictures
    extractors.EXTRACTORS["random"] = Inception
    protocol = Protocol("random", "random", given.generated, "2048", "logits_unbiased", 10, 1000)
    with tempfile.TemporaryDirectory() as folder:
        unseen, words = split(given.real, Path(folder), config.image_size)
        run = Drawer(config, words, given.pictures)
        evaluation = Evaluation(run, protocol)
        evaluation.unseen = unseen
        evaluation.metrics = [table.METRICS[name] for name in ("fidelity", "r_precision")]
        networks = sum(
            p.numel() * 4 for n in (run.generator, run.text, run.image, evaluation.extractor) for p in n.parameters()
        )
        before = resident()
        print(f"networks: {networks / MIB:,.0f} MiB; the process with them and the captions: {before / MIB:,.0f} MiB")
        fidelity, r_precision = evaluation.metrics
        with watched(f"{given.pictures} of {given.generated:,} pictures drawn and looked at", before) as drawing:
            evaluation.of_generated(fidelity)
        with watched(f"{given.pictures} of {given.real:,} real pictures looked at", before) as looking:
            real = [evaluation.of_real(fidelity)["2048"]]
        fidelity.real_features = lambda evaluation: real[0]
        with watched("FID, IS, KID, precision, recall", before):
            fidelity.measure(evaluation)
        real.clear()
        evaluation.forget(fidelity)
        with watched("R-precision, all captions encoded", before):
            r_precision.measure(evaluation)
        hours = (drawing[0] * given.generated + looking[0] * given.real) / given.pictures / 3600
        print(f"all pictures at this pace: {hours:.1f} hours")


if __name__ == "__main__":
    main()
