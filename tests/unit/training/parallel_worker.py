"""Run by torchrun: a few steps of a GAN with batch norm left in, or (GAN-CLS only) taken out.

Without batch norm the processes' gradients average to those of one process, whatever the shares; with it, each process
normalises by the statistics of its own share.
"""

import os
import sys

import torch
from torch import nn

from t2i import config as configs
from t2i.models import gan_cls, zoo
from t2i.training import fit


def without_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm1d):
            setattr(module, name, nn.Identity())
        else:
            without_batch_norm(child)


def main(root: str, encoder: str, model: str, batch_norm: str) -> None:
    if batch_norm == "without":
        start = gan_cls.initialise
        gan_cls.initialise = lambda module: (start(module), without_batch_norm(module))
    assert model in zoo.NAMES
    settings = dict(steps=3, batch_size=8, generator_width=8, discriminator_width=8, text_encoder=encoder, device="cpu")
    run = fit(configs.load(model, "aviary", "smoke", root=root, **settings))
    torch.save(run.state["networks"], run.directory / f"process{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
