"""Exact resume: a run killed by SIGKILL, wherever it was, ends with the bits of an unbroken one and leaves nothing."""

import multiprocessing
import random
import time

import pytest
from killed import run
from states import differing

from t2i import checkpoint, log

KILLS = 20
PROCESSES = multiprocessing.get_context("forkserver")  # what it has imported costs each of them nothing
PROCESSES.set_forkserver_preload(["t2i.training"])


@pytest.fixture
def train(boats, tmp_path):
    """``train(name, moment, wait)`` trains in a process that is killed ``wait`` seconds after the event ``moment``, and
    returns the number of events where it came to its end."""
    values = boats(checkpoint_every=1, log_every=1, sample_every=2).to_dict()

    def start(name: str, moment: int | None = None, wait: float = 0.0) -> int | None:
        ours, theirs = PROCESSES.Pipe()
        places = (tmp_path / "killed" / name, tmp_path / "data" / name)
        process = PROCESSES.Process(target=run, args=(values, *places, moment, theirs))
        process.start()
        theirs.close()
        said = ours.recv()
        if said > 0:
            time.sleep(wait)
            process.kill()
        process.join()
        return -said if said < 0 else None

    start.folder, start.data = tmp_path / "killed", tmp_path / "data"
    return start


def left(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_runs_killed_at_twenty_moments_end_with_the_same_bits_and_leave_nothing(train):
    """Moments are the openings, renamings and removals of files, from the first of the cache's build to the last save,
    and up to three milliseconds after them, when a file is being written."""
    events, draw = train("unbroken"), random.Random(4)
    assert events > KILLS
    whole = checkpoint.read(train.folder / "unbroken" / "checkpoint.pt")
    for number, moment in enumerate(sorted(draw.sample(range(1, events + 1), KILLS))):
        name = f"run{number}"
        train(name, moment, draw.choice([0, 0, draw.uniform(0, 0.003)]))
        train(name)
        folder = train.folder / name
        assert differing(whole, checkpoint.read(folder / "checkpoint.pt")) == [], f"event {moment}"
        assert left(folder) == left(train.folder / "unbroken"), f"event {moment}"
        assert left(train.data / name) and not [file for file in left(train.data / name) if "tmp" in file], moment
        assert log.read(folder / "stats.jsonl")["step"].tolist() == [1, 2, 3], f"event {moment}"
