"""Recording: runs of several seeds leave what the tables need, and nothing of this machine."""

import json
from types import SimpleNamespace

import pytest

from t2i import paths, recording, results


@pytest.fixture
def recorded(tiny_stages, tmp_path, monkeypatch):
    """Where a test's records go; every run that is asked for is a tiny one."""
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "results")
    tiny = SimpleNamespace(load=lambda model, dataset, profile, seed: tiny_stages(model, seed=seed))
    monkeypatch.setattr(recording, "configs", tiny)
    return tmp_path / "results"


def test_each_model_is_recorded_with_each_seed(recorded):
    folders = recording.record(["attngan"], "aviary", "smoke", [3, 4])
    assert folders == [recorded / f"attngan-aviary-smoke-s{seed}" for seed in (3, 4)]
    for folder, files in zip(folders, ({"sheet.png"}, set()), strict=True):
        assert {file.name for file in folder.iterdir()} == {"config.json", "result.json"} | files
        assert "root" not in json.loads((folder / "config.json").read_text())
        record = results.read(folder / "result.json")
        assert record["steps"] == 2 and record["metrics"]["fid"] > 0 and record["commit"]
    assert {results.read(folder / "result.json")["seed"] for folder in folders} == {3, 4}


def test_what_is_trained_is_only_measured(recorded, tiny_stages):
    first = recording.record(["attngan"], "aviary", "smoke", [3])[0]
    checkpoint = tiny_stages(seed=3).directory / "checkpoint.pt"
    before, record = checkpoint.stat().st_mtime_ns, results.read(first / "result.json")
    again = results.read(recording.record(["attngan"], "aviary", "smoke", [3])[0] / "result.json")
    assert checkpoint.stat().st_mtime_ns == before and again["metrics"] == record["metrics"]
