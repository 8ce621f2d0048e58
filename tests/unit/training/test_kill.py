"""Exact resume: a run killed by SIGKILL at a random moment ends with the bits of an unbroken one."""

import os
import random
import signal
import subprocess
import sys
import time

from states import differing

from t2i import checkpoint

STEPS = 60


def command(root, encoder, seed):
    return [
        sys.executable, "-m", "t2i", "train", "--model", "gan-cls", "--dataset", "aviary", "--profile", "smoke",
        "--root", str(root), "--text-encoder", str(encoder), "--steps", str(STEPS), "--checkpoint-every", "7",
        "--seed", str(seed),
    ]  # fmt: skip


def finish(arguments, runs):
    return subprocess.run(
        arguments, env=os.environ | {"T2I_RUNS": str(runs)}, check=True, capture_output=True, text=True
    )


def kill_after_a_random_while(arguments, runs):
    """Start, wait for the first log line, kill; returns the step that the last checkpoint holds."""
    process = subprocess.Popen(arguments, env=os.environ | {"T2I_RUNS": str(runs)}, stderr=subprocess.DEVNULL)
    folder = runs / "gan-cls-aviary-smoke-s4"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "stats.jsonl").exists() and (folder / "stats.jsonl").stat().st_size:
            break
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.4))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return checkpoint.read(folder / "checkpoint.pt")["step"]


def test_a_killed_run_ends_with_the_same_bits(little_aviary, encoder_folder, tmp_path):
    arguments = command(little_aviary, encoder_folder, seed=4)
    finish(arguments, tmp_path / "unbroken")
    reached = kill_after_a_random_while(arguments, tmp_path / "killed")
    assert reached < STEPS, "the run was over before it could be killed"
    finish(arguments, tmp_path / "killed")
    ends = [
        checkpoint.read(tmp_path / name / "gan-cls-aviary-smoke-s4" / "checkpoint.pt")
        for name in ("unbroken", "killed")
    ]
    assert ends[0]["step"] == ends[1]["step"] == STEPS
    assert differing(*ends) == []
