"""What test_parallel.py has computed in two processes by one torchrun, and in one by itself."""

import contextlib
import json
import os
import sys
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from t2i import config as configs
from t2i import device
from t2i.models import gan_cls
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH, ImageEncoder
from t2i.text.trunks import SmallTrunk
from t2i.training import fit
from t2i.training.gather import Gather
from t2i.training.objectives import AttnGan

BATCH, WORDS = 4, 5


def take_out_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm1d):
            setattr(module, name, nn.Identity())
        else:
            take_out_batch_norm(child)


@contextlib.contextmanager
def gan_cls_without_batch_norm():
    start = gan_cls.initialise
    with mock.patch.object(gan_cls, "initialise", lambda module: (start(module), take_out_batch_norm(module))):
        yield


def train(root: str, encoder: str, model: str, batch_norm: bool, directory: Path) -> dict[str, torch.Tensor]:
    """The weights after three steps of a GAN, with batch norm left in, or (GAN-CLS only) taken out.

    Without batch norm the processes' gradients average to those of one process, whatever the shares; with it, each
    process normalises by the statistics of its own share.
    """
    settings = dict(steps=3, batch_size=8, generator_width=8, discriminator_width=8, text_encoder=encoder, device="cpu")
    with contextlib.nullcontext() if batch_norm else gan_cls_without_batch_norm():
        run = fit(configs.load(model, "aviary", "smoke", root=root, **settings), directory=directory)
    return run.state["networks"]


def damsm_gradient() -> dict[str, torch.Tensor]:
    """DAMSM's losses, and the gradient that they give a generator of one convolution."""
    fabric = device.start("cpu")
    torch.manual_seed(0)
    image_encoder = ImageEncoder(SmallTrunk(width=4)).eval().requires_grad_(False)
    generator = nn.Conv2d(3, 3, 3, padding=1)
    images, words = torch.randn(BATCH, 3, 34, 34), torch.randn(BATCH, WIDTH, WORDS)
    mask = torch.arange(WORDS) >= torch.tensor([5, 3, 4, 2])[:, None]
    whole, classes = TextFeatures(words, torch.randn(BATCH, WIDTH), mask), torch.tensor([0, 1, 0, 2])

    objective = AttnGan(configs.PAPER["attngan", "cub"])
    objective.prepare(image_encoder, Gather(fabric))
    wrapped, _ = fabric.setup(generator, torch.optim.SGD(generator.parameters(), lr=1.0))
    shard = device.shard(fabric, BATCH)
    terms = objective.damsm([wrapped(images[shard])], whole.select(shard), classes[shard])
    fabric.backward(sum(terms.values()))
    gradients = {name: parameter.grad for name, parameter in generator.named_parameters()}
    return gradients | {name: term.detach() for name, term in terms.items()}


def compute(jobs: dict[str, list], out: Path) -> dict[str, dict]:
    """What each of ``jobs``, the arguments of :func:`train` by a name, ends with, and DAMSM's gradient as "damsm"."""
    found = {name: train(*arguments, directory=out / name) for name, arguments in jobs.items()}
    return found | {"damsm": damsm_gradient()}


if __name__ == "__main__":
    out = Path(sys.argv[2])
    torch.save(compute(json.loads(sys.argv[1]), out), out / f"process{os.environ['RANK']}.pt")
