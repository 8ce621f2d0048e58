"""The same command under torchrun: two CPU processes (gloo) against one, at the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from states import tensors

from t2i import checkpoint


def launch(processes, worker, runs, *arguments) -> None:
    """Run ``worker``, a file beside this one, in so many processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    environment = os.environ | {"T2I_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    command = [*torchrun, str(Path(__file__).with_name(worker)), *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]


def end_of(processes, runs, *arguments) -> dict[str, torch.Tensor]:
    """The weights that a run of the worker ends with."""
    launch(processes, "parallel_worker.py", runs, *arguments)
    (folder,) = runs.iterdir()
    return tensors(checkpoint.read(folder / "checkpoint.pt")["networks"])


def distance(one, other) -> float:
    """How far the end points lie apart, relative to the length of the weights."""
    floats = [name for name in one if one[name].is_floating_point()]
    gap = sum((one[name] - other[name]).double().pow(2).sum() for name in floats)
    return (gap / sum(one[name].double().pow(2).sum() for name in floats)).sqrt().item()


@pytest.mark.parametrize("model", ["gan-cls", "gan-cls-int"])
def test_two_processes_train_what_one_does(little_aviary, encoder_folder, tmp_path, model):
    arguments = little_aviary, encoder_folder, model, "without"
    one, two = (end_of(n, tmp_path / f"{n}", *arguments) for n in (1, 2))
    assert distance(one, two) < 1e-4  # Adam turns rounding into steps where a gradient is almost zero


def test_batch_norm_sees_one_process_s_share(little_aviary, encoder_folder, tmp_path):
    """Not a wish but the truth that the lesson tells: with batch norm, two processes are not one."""
    arguments = little_aviary, encoder_folder, "gan-cls", "with"
    one, two = (end_of(n, tmp_path / f"{n}", *arguments) for n in (1, 2))
    assert 1e-3 < distance(one, two) < 0.5


def test_the_processes_of_a_multi_stage_model_end_alike(little_aviary, damsm_folder, tmp_path):
    """Batch norms, and wrong pairs within each share, make them another run than one process; but they must agree."""
    kept = end_of(2, tmp_path / "runs", little_aviary, damsm_folder, "attndm-gan", "with")
    (folder,) = (tmp_path / "runs").iterdir()
    first, second = (tensors(torch.load(folder / f"process{k}.pt", weights_only=True)) for k in range(2))
    own = {name for name in first if "running_" in name}  # each has its share's statistics
    assert first.keys() == second.keys() and len(own) > 20
    assert all(torch.equal(first[name], kept[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], second[name])} == own


def test_damsm_s_losses_see_the_whole_batch(tmp_path):
    """Two processes compare every caption with every picture, as one does, and learn from it the same."""
    found = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        launch(processes, "parallel_damsm_worker.py", folder, folder)
        found[processes] = [torch.load(file, weights_only=True) for file in sorted(folder.glob("process*.pt"))]
    (one,), two = found[1], found[2]
    assert len(two) == 2 and one["weight"].abs().max() > 1e-3
    for process in two:
        for name, value in one.items():
            torch.testing.assert_close(process[name], value, rtol=1e-4, atol=1e-6)
