"""What a model adds to :func:`t2i.training.fit`: its networks, its optimisers and one training step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from t2i.config import Config
from t2i.data.index import Index


class Recipe:
    """Everything of a training run that depends on the model; ``fit`` owns the loop around it.

    ``networks`` are the plain modules that a checkpoint keeps, ``optimizers`` their optimisers under the same names,
    and ``averaged`` names the network whose weights are averaged (EMA), if any. ``saved`` is the checkpoint that a run
    continues from, for what a recipe cannot make anew; ``fit`` restores networks and optimisers from it.
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    averaged: str | None = None

    @classmethod
    def available(cls, config: Config) -> Config:
        """``config`` with what is not to be had here replaced, after a notice; a run keeps and shows the result."""
        return config

    def __init__(self, config: Config, index: Index, fabric: Fabric, saved: dict | None = None):
        self.config, self.index, self.fabric, self.saved = config, index, fabric, saved
        self.networks, self.optimizers = {}, {}

    def add(
        self, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, called: nn.Module | None = None
    ) -> nn.Module:
        """Register a network with its optimiser; returns what to call (``called``, or the network itself) as Fabric
        wraps it for the device, the precision and the other processes."""
        called = network if called is None else called
        self.networks[name] = network.to(memory_format=torch.channels_last)  # the faster layout for convolutions
        if self.config.compile:
            called.compile()
        wrapped, self.optimizers[name] = self.fabric.setup(called, optimizer)
        return wrapped

    def to_device(self, tensor: Tensor) -> Tensor:
        """A tensor of a batch on this process's device; images in the layout of the networks."""
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

    def total_steps(self) -> int:
        """The length of the run."""
        raise NotImplementedError

    def batch(self, step: int):
        """What step ``step`` trains on, loaded on the CPU; called from a thread, and a function of ``step`` alone."""
        raise NotImplementedError

    def train_step(self, batch, step: int) -> dict[str, Tensor]:
        """Update every network once; returns the losses as scalars that are not read back yet."""
        raise NotImplementedError

    def extras(self) -> dict:
        """What a checkpoint must also hold so that the run folder can be used alone (a text encoder, a vocabulary)."""
        return {}

    def settle(self, model: nn.Module) -> None:
        """Bring the batch-norm statistics of the averaged network ``model`` in line with its weights, before it is kept
        or drawn from."""

    def validate(self) -> dict[str, float]:
        """What the networks are worth on images that they do not train on, as lines of the log; by default nothing."""
        return {}

    def preview(self, model: nn.Module | None, file: Path) -> None:
        """Save a sheet of samples; ``model`` is the averaged network."""


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, ``module`` passes gradients on but collects none: a generator's step needs no gradients of its judge."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
