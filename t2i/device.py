"""Device, precision, processes and seeds: the only module that knows Lightning Fabric."""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from t2i.errors import UserError, check_name


def start(device: str = "auto", precision: str = "32-true") -> Fabric:
    """A launched Fabric on ``device`` (auto, cpu, cuda, mps) in ``precision`` (32-true, bf16-mixed).

    Under ``torchrun`` every process joins the group (gloo on CPUs, NCCL on GPUs). Raises :class:`UserError` where the
    device is not there.
    """
    accelerator, precision = choose(device), "32-true" if precision == "auto" else precision
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes == 1:
        fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)
    else:
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = Fabric(
            accelerator=accelerator,
            devices=here,
            num_nodes=processes // here,
            precision=precision,
            strategy=_data_parallel(),
        )
    fabric.launch()
    return fabric


def present() -> dict[str, bool]:
    """The kinds of devices, and whether this machine has them."""
    return {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def choose(device: str = "auto") -> str:
    """``device``, with ``auto`` resolved to cuda where there is one; :class:`UserError` where it is not there."""
    there = present()
    check_name("kind of device", device, there)
    if not there[device]:
        mend = "Leave --device at auto, or choose cpu."
        raise UserError(f"This machine has no {device.upper()} device that torch can use", mend)
    return ("cuda" if there["cuda"] else "cpu") if device == "auto" else device


@contextmanager
def on_device(module: torch.nn.Module, device: str) -> Iterator[torch.nn.Module]:
    """Inside, ``module`` is on ``device``; afterwards it is back on the CPU, where notebooks take it apart."""
    try:
        yield module.to(choose(device))
    finally:
        module.cpu()


def _data_parallel() -> DDPStrategy:
    """DDP that leaves batch-norm buffers alone: a discriminator runs several times before one backward pass, and a
    buffer rewritten in between breaks autograd. Newer torch has another name for the switch."""
    names = inspect.signature(DistributedDataParallel.__init__).parameters
    switch = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    return DDPStrategy(**{switch: False})


def shard(fabric: Fabric, batch_size: int) -> slice:
    """The part of a global batch that this process computes; :class:`UserError` where it does not divide evenly."""
    if batch_size % fabric.world_size:
        raise UserError(
            f"A batch of {batch_size} cannot be shared by {fabric.world_size} processes",
            f"Choose a --batch-size that is a multiple of {fabric.world_size}.",
        )
    size = batch_size // fabric.world_size
    return slice(fabric.global_rank * size, (fabric.global_rank + 1) * size)


def seed_step(seed: int, step: int) -> None:
    """Seed torch for one step, so that anything random inside a network is a function of (seed, step)."""
    torch.manual_seed((seed * 1_000_003 + step) % 2**63)


def precision_reason(precision: str) -> str:
    """Why a run computes in ``precision``, for banners and tables."""
    return {
        "32-true": "float32, the papers' arithmetic (TF32 is left off)",
        "bf16-mixed": "bfloat16 where it is safe, float32 weights: about twice as fast on recent GPUs",
    }.get(precision, precision)
