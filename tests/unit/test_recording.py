"""Recording: runs of several seeds leave what the tables need, and nothing of this machine."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from t2i import checkpoint, ladder, parallel, paths, recording, results
from t2i import config as configs
from t2i.errors import UserError
from t2i.training import Run, fit


@pytest.fixture
def recorded(tiny_stages, tmp_path, monkeypatch):
    """Where a test's records go; every run that is asked for is a tiny one."""
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "results")
    tiny = SimpleNamespace(
        load=lambda model, dataset, profile, **given: tiny_stages(model, **given),
        without_places=configs.without_places,
    )
    monkeypatch.setattr(recording, "configs", tiny)
    return tmp_path / "results"


@pytest.mark.slow
def test_what_is_stopped_is_measured_where_it_is_and_goes_on(recorded, tiny_stages, tmp_path, monkeypatch, capsys):
    """The clock is at its end when the first run has saved its first step."""
    config = tiny_stages(seed=3, steps=10_000)
    monkeypatch.setattr(recording.configs, "load", lambda *names, seed: config)
    first = config.directory / "checkpoint.pt"
    now = lambda: 100.0 if first.exists() and checkpoint.read(first)["step"] else 0.0  # noqa: E731
    monkeypatch.setattr(parallel.time, "monotonic", now)
    (folder,) = recording.record(["attngan"], "aviary", "smoke", [3], seconds=60, folder=tmp_path / "elsewhere")
    assert folder == tmp_path / "elsewhere" / config.name and not recorded.exists()
    step = checkpoint.read(first)["step"]
    assert results.read(folder / "result.json")["steps"] == step and (folder / "sheet.png").exists()
    assert f"{config.name}: not finished after 60 seconds; measured at step {step:,}" in capsys.readouterr().out
    shorter = replace(config, steps=step + 1)
    monkeypatch.setattr(recording.configs, "load", lambda *names, seed: shorter)
    (folder,) = recording.record(["attngan"], "aviary", "smoke", [3])
    assert results.read(folder / "result.json")["steps"] == step + 1


def test_each_model_is_recorded_with_each_seed(recorded):
    folders = recording.record(["attngan"], "aviary", "smoke", [3, 4])
    assert folders == [recorded / f"attngan-aviary-smoke-s{seed}" for seed in (3, 4)]
    for folder, files in zip(folders, ({"sheet.png"}, set()), strict=True):
        assert {file.name for file in folder.iterdir()} == {"config.json", "result.json"} | files
        assert "root" not in json.loads((folder / "config.json").read_text())
        record = results.read(folder / "result.json")
        assert record["steps"] == 2 and record["metrics"]["fid"] > 0 and record["commit"]
    assert {results.read(folder / "result.json")["seed"] for folder in folders} == {3, 4}


def test_seeds_that_share_an_encoder_have_one_judge(recorded, damsm_folder):
    one, other = recording.record(["attngan"], "aviary", "smoke", [5, 6], text_encoder=str(damsm_folder))
    judges = {results.read(folder / "result.json")["protocols"]["r_precision"] for folder in (one, other)}
    assert len(judges) == 1
    settings = [json.loads((folder / "config.json").read_text())["text_encoder"] for folder in (one, other)]
    assert settings == [damsm_folder.name] * 2
    rows = results.figures("aviary", "R-precision")
    assert set(rows[rows["run"] != "published"]["n"]) == {2}


def test_what_is_trained_is_only_measured(recorded, tiny_stages):
    first = recording.record(["attngan"], "aviary", "smoke", [3])[0]
    checkpoint = tiny_stages(seed=3).directory / "checkpoint.pt"
    before, record = checkpoint.stat().st_mtime_ns, results.read(first / "result.json")
    again = results.read(recording.record(["attngan"], "aviary", "smoke", [3])[0] / "result.json")
    assert checkpoint.stat().st_mtime_ns == before and again["metrics"] == record["metrics"]


def test_a_run_of_ones_own_settings_is_recorded_under_its_own_name(recorded, tiny_stages, tmp_path, monkeypatch):
    mine = tmp_path / "runs" / "mine"
    run = fit(tiny_stages(seed=3, steps=1), directory=mine)
    (folder,) = recording.record([str(mine)], "aviary", "smoke", [7])
    assert folder == recorded / "mine" and (folder / "sheet.png").exists()
    assert results.read(folder / "result.json")["seed"] == 3
    stopped = Run(run.config, run.state | {"finished": False}, mine)
    monkeypatch.setattr(recording.Run, "load", lambda place: stopped)
    with pytest.raises(UserError, match=r"mine stopped at step 1, before its end\. Let it finish"):
        recording.record([str(mine)], "aviary", "smoke", [7], folder=tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_recorded_ladder_says_what_else_its_rungs_change(recorded):
    """Real records of all three measures, whose difference wants a second seed."""
    recording.record(["dm-gan", "ig-dm-gan"], "aviary", "smoke", [3])
    table = ladder.steps([("dm-gan", "ig-dm-gan")], "aviary", "smoke")
    assert table["besides"].unique().tolist() == ["residual_blocks 2 → 3, damsm_scales last → all"]
    assert (table["seeds"] == 1).all() and table["change"].isna().all()


@pytest.mark.slow
def test_what_is_trained_at_once_is_recorded_and_what_fails_is_named(recorded, tiny_stages):
    checkpoint = tiny_stages(seed=4).directory / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"Not trained: attngan-aviary-smoke-s4: .*checkpoint\.pt.*the same command"):
        recording.record(["attngan"], "aviary", "smoke", [3, 4], parallel=2)
    assert [folder.name for folder in recorded.iterdir()] == ["attngan-aviary-smoke-s3"]
    assert results.read(recorded / "attngan-aviary-smoke-s3" / "result.json")["metrics"]["fid"] > 0


@pytest.mark.slow
def test_a_run_is_followed_from_point_to_point(recorded):
    (file,) = recording.follow(["attngan"], "aviary", "smoke", [3], steps=2, points=2)
    assert file == recorded / "attngan-aviary-smoke-s3" / "curve.json"
    table = recording.curves("aviary", "smoke", ["attngan", "dm-gan"])
    assert table["step"].tolist() == [1, 2] and set(table["seed"]) == {3} and (table["fid"] > 0).all()
    assert table["protocol"].nunique() == 1 and table["commit"].all() and "points" not in table
    last = results.read(recording.record(["attngan"], "aviary", "smoke", [3])[0] / "result.json")
    assert last["metrics"]["fid"] == table["fid"].iloc[-1]  # to the last bit that of an unbroken run
    assert recording.curves("aviary", "cpu", ["attngan"]).empty


def test_a_curve_that_was_stopped_goes_on(recorded, monkeypatch):
    measured = []
    evaluate = recording.evaluate
    monkeypatch.setattr(recording, "evaluate", lambda run: measured.append(run.state["step"]) or evaluate(run))
    recording.follow(["attngan"], "aviary", "smoke", [3], steps=1, points=1)
    recording.follow(["attngan"], "aviary", "smoke", [3], steps=2, points=2)
    assert measured == [1, 2]


def test_points_that_were_passed_or_do_not_fit_are_refused(recorded, tiny_stages):
    with pytest.raises(UserError, match=r"5 steps have no 2 equal parts\. Choose --points that divides --steps\."):
        recording.follow(["attngan"], "aviary", "smoke", [3], steps=5, points=2)
    with pytest.raises(UserError, match="0 steps have no 1 equal parts"):
        recording.follow(["attngan"], "aviary", "smoke", [3], steps=0, points=1)
    recording.record(["attngan"], "aviary", "smoke", [3])
    with pytest.raises(UserError, match=r"is at step 2 already, and was not measured at step 1\. Set T2I_RUNS"):
        recording.follow(["attngan"], "aviary", "smoke", [3], steps=2, points=2)
