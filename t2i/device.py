"""Device, precision, processes and seeds: the only module that knows Lightning Fabric."""

import functools
import importlib.util
import inspect
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from t2i.errors import UserError, check_name

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy


def start(device: str = "auto", precision: str = "32-true") -> "Fabric":
    """A launched Fabric on ``device`` (auto, cpu, cuda, mps) in ``precision`` (auto, 32-true, tf32, bf16-mixed).

    Under ``torchrun`` every process joins the group (gloo on CPUs, NCCL on GPUs). Outside "tf32" float32 is true
    float32 on every device, convolutions included. Raises :class:`UserError` where the device is not there.
    """
    from lightning_fabric import Fabric  # takes a second or two, which only who trains should wait for

    accelerator, precision = choose(device), resolve_precision(precision, device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True  # the sizes of a run never change
    precision = "32-true" if precision == "tf32" else precision
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


def resolve_precision(precision: str, device: str = "auto") -> str:
    """``precision``, with ``auto`` resolved: bfloat16 where ``device`` computes in it, float32 elsewhere."""
    if precision != "auto":
        return precision
    kind = choose(device)
    fast = {"cuda": _cuda_has_bfloat16, "cpu": _cpu_has_bfloat16}.get(kind, lambda: False)()
    return "bf16-mixed" if fast else "32-true"


def require_compiler(device: str = "auto") -> None:
    """:class:`UserError` where ``torch.compile`` would not find what it compiles with: a C++ compiler and, for a GPU,
    Triton."""
    mend = "Leave --compile out, or install one."
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    if not any(map(shutil.which, names)):
        raise UserError(f"torch.compile found no C++ compiler ({' or '.join(names)})", mend)
    if choose(device) == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("torch.compile found no Triton, its compiler for GPUs", mend)


def _cuda_has_bfloat16() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


@functools.cache
def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; elsewhere it would be emulated, and slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))


@contextmanager
def on_device(module: torch.nn.Module, device: str) -> Iterator[torch.nn.Module]:
    """Inside, ``module`` is on ``device``; afterwards it is back where it was, in a notebook the CPU.

    It is moved outside of any inference mode: weights that are made inside could never be trained or differentiated
    again.
    """
    before = next(itertools.chain(module.parameters(), module.buffers())).device
    try:
        with torch.inference_mode(False):
            module.to(choose(device))
        yield module
    finally:
        with torch.inference_mode(False):
            module.to(before)


def _data_parallel() -> "DDPStrategy":
    """DDP that leaves batch-norm buffers alone: a discriminator runs several times before one backward pass, and a
    buffer rewritten in between breaks autograd. Newer torch has another name for the switch."""
    from lightning_fabric.strategies import DDPStrategy
    from torch.nn.parallel import DistributedDataParallel

    names = inspect.signature(DistributedDataParallel.__init__).parameters
    switch = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    return DDPStrategy(**{switch: False})


def shard(fabric: "Fabric", batch_size: int) -> slice:
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
        "auto": "bfloat16 where the device computes in it, float32 elsewhere",
        "32-true": "float32, the papers' arithmetic (TF32 is off)",
        "tf32": "float32 whose products are rounded to TF32 on recent GPUs",
        "bf16-mixed": "bfloat16 where it is safe, float32 weights: about twice as fast where the device has it",
    }[precision]
