"""Exact resume: a run killed by SIGKILL at a random moment ends with the bits of an unbroken one."""

import random
import signal
import subprocess
import sys
import time

import pytest
from states import differing

from t2i import checkpoint
from t2i.__main__ import main

STEPS = 60


def kill_after_a_random_while(arguments, folder):
    """Start, wait for the first log line, kill; returns the step that the last checkpoint holds."""
    process = subprocess.Popen([sys.executable, "-m", "t2i", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "stats.jsonl").exists() and (folder / "stats.jsonl").stat().st_size:
            break
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.4))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return checkpoint.read(folder / "checkpoint.pt")["step"]


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(little_aviary, encoder_folder, tmp_path):
    """Killed in a process of its own; the unbroken run, and the one that goes on, are this process's."""
    small = ["--profile", "smoke", "--steps", str(STEPS), "--checkpoint-every", "7", "--seed", "4"]
    train = ["train", "gan-cls", "--root", str(little_aviary), "--text-encoder", str(encoder_folder), *small]
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    assert main([*train, "--directory", str(unbroken)]) == 0
    reached = kill_after_a_random_while([*train, "--directory", str(killed)], killed)
    assert reached < STEPS, "the run was over before it could be killed"
    assert main([*train, "--directory", str(killed)]) == 0
    ends = [checkpoint.read(folder / "checkpoint.pt") for folder in (unbroken, killed)]
    assert ends[0]["step"] == ends[1]["step"] == STEPS
    assert differing(*ends) == []
