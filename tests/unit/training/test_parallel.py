"""The same command under torchrun: two CPU processes (gloo) against one, at the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import parallel_worker
import pytest
import torch
from states import tensors

from t2i import checkpoint

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]


@pytest.fixture(scope="module")
def jobs(little_aviary, encoder_folder, damsm_folder):
    """The arguments of the worker's trainings, by a name."""
    sentences, words = (str(little_aviary), str(encoder_folder)), (str(little_aviary), str(damsm_folder))
    return {
        "gan-cls": [*sentences, "gan-cls", False],
        "gan-cls-int": [*sentences, "gan-cls-int", False],
        "batch norm": [*sentences, "gan-cls", True],
        "attndm-gan": [*words, "attndm-gan", True],
    }


@pytest.fixture(scope="module")
def one(jobs, tmp_path_factory):
    """What one process ends with, by the name of the job; the last is compared between processes only."""
    mine = {name: arguments for name, arguments in jobs.items() if name != "attndm-gan"}
    return parallel_worker.compute(mine, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(jobs, tmp_path_factory):
    """The folder of the runs of two processes, and what each of the two ended with, by the name of the job."""
    out = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, parallel_worker.__file__, json.dumps(jobs), str(out)]
    environment = os.environ | {"T2I_RUNS": str(out), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=480)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return out, [torch.load(out / f"process{k}.pt", weights_only=True) for k in range(2)]


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return tensors(checkpoint.read(folder / "checkpoint.pt")["networks"])


def distance(one, other) -> float:
    """How far the end points lie apart, relative to the length of the weights."""
    one = tensors(one)
    floats = [name for name in one if one[name].is_floating_point()]
    gap = sum((one[name] - other[name]).double().pow(2).sum() for name in floats)
    return (gap / sum(one[name].double().pow(2).sum() for name in floats)).sqrt().item()


@pytest.mark.parametrize("model", ["gan-cls", "gan-cls-int"])
def test_two_processes_train_what_one_does(one, two, model):
    out, _ = two
    assert distance(one[model], saved(out / model)) < 1e-4  # Adam makes steps of rounding where a gradient is 0


def test_batch_norm_sees_one_process_s_share(one, two):
    """Not a wish but the truth that the lesson tells: with batch norm, two processes are not one."""
    out, _ = two
    assert 1e-3 < distance(one["batch norm"], saved(out / "batch norm")) < 0.5


def test_the_processes_of_a_multi_stage_model_end_alike(two):
    """Batch norms, and wrong pairs within each share, make them another run than one process; but they must agree."""
    out, processes = two
    kept = saved(out / "attndm-gan")
    first, second = (tensors(process["attndm-gan"]) for process in processes)
    own = {name for name in first if "running_" in name}  # each has its share's statistics
    assert first.keys() == second.keys() and len(own) > 20
    assert all(torch.equal(first[name], kept[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], second[name])} == own


def test_damsm_s_losses_see_the_whole_batch(one, two):
    """Two processes compare every caption with every picture, as one does, and learn from it the same."""
    _, processes = two
    assert one["damsm"]["weight"].abs().max() > 1e-3
    for process in processes:
        for name, value in one["damsm"].items():
            torch.testing.assert_close(process["damsm"][name], value, rtol=1e-4, atol=1e-6)
