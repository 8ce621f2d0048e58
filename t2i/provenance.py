"""Where a figure was made: on which hardware, by which commit."""

import os
import platform
import subprocess
from pathlib import Path

import torch

from t2i import paths


def hardware(device: str = "auto") -> dict:
    """The device that ``device`` means on this machine, by name, with threads and torch version."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    name = torch.cuda.get_device_name() if on_gpu else _cpu_name()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())


def commit() -> str:
    """The commit of the checkout, with "+dirty" where the package differs from it; outside git, where files were copied
    without their history, what ``T2I_COMMIT`` says, or "unknown".

    Notebooks change whenever they are run, so only ``t2i/``, which computes the numbers, is asked for changes.
    """
    if (top := _git("rev-parse", "--show-toplevel")) is None or Path(top).resolve() != paths.checkout():
        return os.environ.get("T2I_COMMIT", "unknown")  # or inside another project's repository
    head = _git("rev-parse", "HEAD")
    return "unknown" if head is None else head + ("+dirty" if _git("status", "--porcelain", "--", "t2i") else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(paths.checkout()), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
