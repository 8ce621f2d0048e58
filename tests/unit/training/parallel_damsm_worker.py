"""Run by torchrun: the gradient that DAMSM's losses give a generator of one convolution, whose batch the processes
share."""

import os
import sys

import torch
from torch import nn

from t2i import config as configs
from t2i import device
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH, ImageEncoder
from t2i.text.trunks import SmallTrunk
from t2i.training.gather import Gather
from t2i.training.objectives import AttnGan

BATCH, WORDS = 4, 5


def main(out: str) -> None:
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
    losses = {name: term.detach() for name, term in terms.items()}
    torch.save(gradients | losses, f"{out}/process{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
