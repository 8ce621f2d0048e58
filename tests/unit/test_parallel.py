"""Several trainings at once: the runs of one after the other, however many fail or are stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from states import differing, ended

from t2i import checkpoint, parallel
from t2i import config as configs
from t2i.errors import UserError
from t2i.training import fit


@pytest.fixture
def stages(tiny_stages):
    """``stages(model, **overrides)`` reads with a DAMSM that must be trained first."""
    return lambda model="attngan", **overrides: tiny_stages(model, text_encoder="damsm", **overrides)


@pytest.mark.slow
def test_two_at_once_are_the_runs_of_one_after_the_other(stages, tmp_path, monkeypatch):
    wanted = [stages(model) for model in ("attngan", "dm-gan")]
    one_by_one = [ended(fit(config)) for config in wanted]
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "at-once"))
    assert parallel.train(wanted, at_once=2) == {}
    assert {folder.name for folder in (tmp_path / "at-once").iterdir()} == {
        f"{model}-aviary-smoke-s0" for model in ("damsm", "attngan", "dm-gan")
    }
    for config, before in zip(wanted, one_by_one, strict=True):
        after = checkpoint.read(config.directory / "checkpoint.pt")
        assert differing(before, after) == []
        assert {name: before[name] for name in ("config", "asked", "data", "step", "finished")} == {
            name: after[name] for name in ("config", "asked", "data", "step", "finished")
        }


@pytest.mark.slow
def test_what_builds_on_a_failed_run_is_given_up_and_the_others_go_on(stages, tiny_stages):
    lost, sound = stages(seed=5), tiny_stages("dm-gan")
    broken = configs.needs(lost)["encoder"].directory / "checkpoint.pt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no checkpoint")
    wrong = parallel.train([lost, sound], at_once=2)
    assert wrong.keys() == {"damsm-aviary-smoke-s5", "attngan-aviary-smoke-s5"}
    assert str(broken) in wrong["damsm-aviary-smoke-s5"] and "train.log" in wrong["damsm-aviary-smoke-s5"]
    assert wrong["attngan-aviary-smoke-s5"] == "it builds on damsm-aviary-smoke-s5"
    assert checkpoint.read(sound.directory / "checkpoint.pt")["finished"]


@pytest.mark.slow
def test_what_is_stopped_goes_on_to_the_bits_of_an_unbroken_run(tiny, tmp_path, monkeypatch):
    """Ctrl-C stops every training at its next step; so does the end of their parent."""
    steps = 150
    wanted = [tiny(steps=steps, seed=seed, checkpoint_every=steps, log_every=1) for seed in (0, 1)]
    unbroken = ended(fit(wanted[0]))
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "stopped"))
    for stop in (signal.SIGINT, signal.SIGKILL):
        stopped_when_both_train(wanted, stop)
        reached = [checkpoint.read(config.directory / "checkpoint.pt")["step"] for config in wanted]
        assert all(0 < step < steps for step in reached), reached
    assert parallel.train(wanted, at_once=2) == {}
    assert differing(unbroken, checkpoint.read(wanted[0].directory / "checkpoint.pt")) == []


def stopped_when_both_train(wanted, stop):
    program = (
        "import json, signal, sys; from t2i import config, parallel; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored by what a shell runs in the background
        "parallel.train([config.from_dict(json.loads(text)) for text in sys.argv[1:]], 2)"
    )
    settings = [json.dumps(config.to_dict()) for config in wanted]
    logs = [config.directory / "stats.jsonl" for config in wanted]
    before = [log.stat().st_size if log.exists() else 0 for log in logs]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *settings], env=os.environ, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: all(log.exists() and log.stat().st_size > size for log, size in zip(logs, before, strict=True)))
    process.send_signal(stop)
    said = process.communicate(timeout=60)[1]
    assert process.returncode and ("the same command goes on" in said) == (stop == signal.SIGINT)
    said = [config.directory / parallel.LOG for config in wanted]
    wait_for(lambda: all("stopped after step" in log.read_text() for log in said))


def wait_for(happened):
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_end_of_its_time_and_bad_requests(tiny_stages):
    config = tiny_stages()
    assert parallel.train([config], at_once=1, seconds=0) == {config.name: "not finished after 0 seconds"}
    assert not config.directory.exists()
    with pytest.raises(UserError, match=r"--parallel 0 trains nothing\. Give a number from 1 on"):
        parallel.train([config], at_once=0)
