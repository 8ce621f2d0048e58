"""What a second process does: it begins to write, says so, and goes on when it is told to."""

import os
from pathlib import Path

from t2i import config as configs
from t2i import locks, paths
from t2i.data import aviary, folder
from t2i.data.cache import ImageCache
from t2i.training import fit
from t2i.training.gan import GanCls


def train(values: dict, directory: Path, channel) -> None:
    """Train as far as the second step, and wait there."""
    original = GanCls.train_step

    def step(self, batch, number):
        if number == 1:
            channel.send(os.getpid())
            channel.recv()
        return original(self, batch, number)

    GanCls.train_step = step
    fit(configs.from_dict(values), directory=directory)
    channel.send("done")


def hold(directory: Path, channel) -> None:
    """Write into ``directory``, and leave a file half written."""
    with locks.only_writer(directory):
        paths.write_atomically(directory / "half.bin", lambda _: (channel.send(os.getpid()), channel.recv()))


def draw(root: Path, channel) -> None:
    channel.recv()
    aviary.IMAGES_PER_SPECIES = 2
    aviary.ensure(root)
    channel.send(sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()))


def cache(root: Path, data: Path, channel) -> None:
    os.environ["T2I_DATA"] = str(data)
    examples = folder.read(root).examples
    channel.recv()
    found = ImageCache("folder", root, examples, 32, "whole", "shorter")
    channel.send([found[k].tobytes() for k in range(len(found))])
