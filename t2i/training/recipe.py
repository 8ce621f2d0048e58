"""What a model adds to :func:`t2i.training.fit`: its networks, its optimisers and one training step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from t2i import data
from t2i.config import Config
from t2i.data.index import Index
from t2i.training.encoders import Encoders
from t2i.training.run import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Basis:
    """What a run builds on: the encoders that it reads and is judged with, and for Stage-II a trained Stage-I, which a
    continued run has in its own checkpoint."""

    encoders: Encoders | None = None
    stage1: Run | None = None


class Recipe:
    """Everything of a training run that depends on the model; ``fit`` owns the loop around it.

    ``networks`` are the plain modules that a checkpoint keeps, ``optimizers`` their optimisers under the same names,
    and ``averaged`` names the network whose weights are averaged (EMA), if any. Nothing here trains another model,
    downloads or seeds: ``fit`` has done that before.
    """

    averaged: str | None = None
    objective_name = ""  # of a GAN, the class of its losses: a run goes on with the ones that it began with

    @classmethod
    def backbone(cls, config: Config) -> dict[str, object]:
        """The settings of ``config`` that a new run must replace here, because the weights that they ask for are not to
        be had, after a notice."""
        return {}

    @classmethod
    def read(cls, config: Config) -> Index:
        """The data set as the model reads it."""
        return data.load(config)

    @classmethod
    def build(cls, config: Config, index: Index, basis: Basis) -> dict[str, nn.Module]:
        """The networks before their first step, by name; what they draw is a function of the seed alone."""
        raise NotImplementedError(f"{cls.__name__} builds no networks")

    def __init__(self, config: Config, index: Index, fabric: "Fabric", networks: dict[str, nn.Module], basis: Basis):
        self.config, self.index, self.fabric, self.basis = config, index, fabric, basis
        self.networks = networks
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def add(self, name: str, optimizer: torch.optim.Optimizer, called: nn.Module | None = None) -> nn.Module:
        """Set network and ``optimizer`` of ``name`` up for the device, the precision and the other processes; returns
        what a step calls: ``called``, a module around the network, or the network itself."""
        network = self.networks[name].to(memory_format=torch.channels_last)  # the faster layout for convolutions
        called = network if called is None else called
        if self.config.compile:
            called.compile()
        wrapped, self.optimizers[name] = self.fabric.setup(called, optimizer)
        return wrapped

    def to_device(self, tensor: Tensor | None) -> Tensor | None:
        """A tensor of a batch on this process's device; images in the layout of the networks."""
        if tensor is None:
            return None
        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        return tensor.to(self.fabric.device, non_blocking=True, memory_format=layout)

    def update(self, name: str, loss: Tensor) -> None:
        """One step of the optimiser ``name`` down ``loss``."""
        self.optimizers[name].zero_grad()
        self.fabric.backward(loss)
        self.optimizers[name].step()

    def set_learning_rate(self, rate: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    @property
    def steps_per_epoch(self) -> int:
        """How many steps the paper's code takes for an epoch."""
        raise NotImplementedError(f"{type(self).__name__} has no epochs")

    def total_steps(self) -> int:
        """The length of the run."""
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        """The epoch of the paper's schedule in which ``step`` lies. A run of more steps than the paper's epochs hold,
        as a profile's is on few pictures, goes through the schedule once, stretched."""
        return min(step // self.steps_per_epoch, step * self.config.epochs // self.total_steps())

    def batch(self, step: int):
        """What step ``step`` trains on, loaded on the CPU; called from a thread, and a function of ``step`` alone."""
        raise NotImplementedError(f"{type(self).__name__} has no batches")

    def train_step(self, batch, step: int) -> dict[str, Tensor]:
        """Update every network once; returns the losses as scalars that are not read back yet."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def extras(self) -> dict:
        """What a checkpoint must also hold so that the run folder can be used alone (a text encoder, a vocabulary)."""
        return {}

    def recalibrate(self, model: nn.Module) -> None:
        """Bring the batch-norm statistics of the averaged network ``model`` in line with its weights, before it is kept
        or drawn from."""

    def validate(self) -> dict[str, float]:
        """What the networks are worth on images that they do not train on, as lines of the log; by default nothing."""
        return {}

    def preview(self, model: nn.Module | None, file: Path) -> None:
        """Save a sheet of samples; ``model`` is the averaged network."""


def halvings(every: int, epoch: int) -> int:
    """How often a rate that is halved after every ``every`` epochs has been by ``epoch``, from 0; 0 is never."""
    return epoch // every if every else 0


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, ``module`` passes gradients on but collects none: a generator's step needs none of its discriminators."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
