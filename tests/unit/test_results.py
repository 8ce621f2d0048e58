import json
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i import config, paths, results
from t2i.errors import UserError
from t2i.metrics import protocols


@pytest.fixture(autouse=True)
def roots(tmp_path, monkeypatch):
    """Runs and recorded results in a fresh folder, so that nothing of this machine enters a table."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "recorded")
    return tmp_path


def make(fid=50.0, model="gan-cls", dataset="aviary", profile="cpu", seed=0, protocol="fid2k-aviarynet1", **more):
    settings = config.load(model, dataset, profile, seed=seed, **more)
    metrics = {"fid": fid, "is_mean": 4.0, "generated_count": 2000, "real_count": 400}
    return results.record(settings, metrics, protocol, seconds=1.5)


def put(root, found, name="result.json"):
    return results.write(
        root / f"{found['model']}-{found['profile']}-s{found['seed']}-{found['protocol']}", found, name
    )


# --- one record


def test_a_record_says_how_its_numbers_came_about(roots):
    settings = config.load("gan-cls", "aviary", "cpu", seed=7)
    metrics = {
        "fid": torch.tensor(12.5),
        "kid_mean": np.float64(0.25),
        "is_mean": None,
        "accuracy": math.nan,
        "generated_count": 2000,
        "real_count": 400,
    }
    found = results.record(settings, metrics, protocols.get("fid2k-aviarynet1"), {"note": "x"}, seconds=3.0)
    assert found["metrics"] == {"fid": 12.5, "kid_mean": 0.25, "is_mean": None, "accuracy": None}
    assert (found["generated_count"], found["real_count"]) == (2000, 400)
    assert (found["model"], found["dataset"], found["profile"], found["seed"]) == ("gan-cls", "aviary", "cpu", 7)
    assert found["protocol"] == "fid2k-aviarynet1"
    assert found["protocol_settings"]["extractor"] == "aviarynet1" and found["protocol_settings"]["images"] == 2000
    assert found["fingerprint"] == settings.fingerprint()
    assert found["hardware"]["torch"] == torch.__version__ and found["hardware"]["device"]
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert results.read(results.write(roots / "run", found)) == found
    json.loads((roots / "run" / "result.json").read_text(), parse_constant=pytest.fail)  # no NaN, which is no JSON


def test_a_protocol_outside_the_registry_keeps_its_name():
    found = results.record(config.load("char-cnn-rnn"), {"zero_shot_top1_%": 40.0}, "zero-shot")
    assert (found["protocol"], found["protocol_settings"], found["generated_count"]) == ("zero-shot", None, None)


def test_a_folder_is_recorded_by_its_name(roots):
    (roots / "my-cats").mkdir()
    settings = config.load("gan-cls", str(roots / "my-cats"), "cpu")
    found = results.record(settings, {"fid": 3.0}, "fid2k-aviarynet1")
    assert found["dataset"] == "my-cats"
    results.write(paths.runs_root() / "a", found)
    assert len(results.comparison(str(roots / "my-cats"))) == 1


def test_the_device_is_named():
    assert results.hardware("cpu")["device"] not in ("", "cpu", "auto")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"model": "gan-cls", "metr', "cannot be read as JSON"),
        ("[1, 2]", "is not a result: model, "),
        ("\udcff", "cannot be read as JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_mend(roots, content, sentence):
    path = roots / "runs" / "broken" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode(errors="surrogateescape"))
    for reading in (lambda: results.read(path), results.collect, lambda: results.comparison("aviary")):
        with pytest.raises(UserError, match=sentence) as caught:
            reading()
        assert str(path) in str(caught.value) and f"evaluate --run {path.parent}" in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("seed", "0"), ("seed", True), ("protocol", None), ("metrics", [])])
def test_a_field_of_the_wrong_kind_is_named(roots, field, value):
    path = results.write(roots / "run", make() | {field: value})
    with pytest.raises(UserError, match=rf"is not a result: {field} "):
        results.read(path)


def test_a_metric_that_is_no_number_is_named(roots):
    path = put(roots, make() | {"metrics": {"fid": "12"}})
    with pytest.raises(UserError, match=r"metrics\.fid"):
        results.read(path)


def test_a_missing_file_says_how_to_make_it(roots):
    with pytest.raises(UserError, match=r"result\.json does not exist\. .*python -m t2i evaluate"):
        results.read(roots / "result.json")


# --- the commit


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_that_of_the_package(tmp_path, monkeypatch):
    house = tmp_path.resolve() / "house"
    (house / "t2i").mkdir(parents=True)
    (house / "t2i" / "a.py").write_text("1")
    monkeypatch.setattr(paths, "checkout", lambda: house)
    assert results.commit() == "unknown"
    git(house, "init")
    git(house, "add", ".")
    git(house, "commit", "-m", "one")
    head = results.commit()
    assert len(head) == 40
    (house / "lesson.ipynb").write_text("run")  # an executed notebook does not change what computes the numbers
    assert results.commit() == head
    (house / "t2i" / "a.py").write_text("2")
    assert results.commit() == head + "+dirty"
    monkeypatch.setattr(paths, "checkout", lambda: house / "t2i")  # as in an environment inside another repository
    assert results.commit() == "unknown"


# --- tables


def test_collect_tells_runs_from_recorded_ones_and_keeps_the_newest(roots):
    put(roots / "runs", make(50.0) | {"date": "2026-01-01T00:00:00+00:00"})
    put(roots / "runs", make(40.0) | {"date": "2026-01-02T00:00:00+00:00"}, "result-again.json")
    put(roots / "recorded", make(45.0))
    table = results.collect()
    assert list(table["origin"]) == ["recorded", "this run"]
    assert list(table["fid"]) == [45.0, 40.0]
    assert set(table["commit"]) == {results.commit()}


def test_without_results_the_tables_are_empty():
    assert results.collect().empty and "protocol" in results.collect()
    assert results.comparison("aviary").empty
    assert results.summary("aviary") == "There are no results on aviary yet."


def test_published_recorded_and_this_run_stand_side_by_side(roots):
    put(roots / "recorded", make(60.0, dataset="cub"))
    put(roots / "runs", make(70.0, dataset="cub"))
    put(roots / "runs", make(80.0, dataset="cub", model="gan-cls-int", protocol="fid2k-inception-tf"))
    table = results.comparison("cub")
    legacy = "published (legacy_torchvision_pytorch_fid_802da39)"
    made = "(cpu, 32 px, 2000 generated, 400 real)"
    assert table.at["DM-GAN", legacy] == "16.09 / 15.52"
    assert table.at["GAN-INT-CLS", legacy] == "194.41"
    assert table.at["GAN-INT-CLS", f"this run fid2k-inception-tf {made}"] == "80.00"
    assert table.at["GAN-CLS", f"recorded fid2k-aviarynet1 {made}"] == "60.00"
    assert table.at["GAN-CLS", f"this run fid2k-aviarynet1 {made}"] == "70.00"
    assert table.at["GAN-CLS", legacy] == results.EMPTY
    origins = [column.split(" ")[0] for column in table.columns]
    assert origins == sorted(origins, key=["published", "recorded", "this"].index)


def test_seeds_are_averaged_and_counted(roots):
    for seed, fid in enumerate((10.0, 12.0, 14.0)):
        put(roots / "runs", make(fid, seed=seed))
    put(roots / "runs", make(99.0, profile="gpu"))
    table = results.comparison("aviary")
    (cpu,) = [column for column in table if "(cpu, 32 px" in column]
    (gpu,) = [column for column in table if "(gpu, 64 px" in column]
    assert table.at["GAN-CLS", cpu] == "12.00 ± 2.00 (n = 3)"
    assert table.at["GAN-CLS", gpu] == "99.00"
    assert list(results.comparison("aviary", profile="gpu").columns) == [gpu]


def test_a_bad_row_stays(roots):
    put(roots / "runs", make(9999.0))
    put(roots / "runs", make(math.nan, model="gan-cls-int"))
    table = results.comparison("aviary")
    assert list(table.iloc[:, 0]) == ["9999.00", results.EMPTY]


def test_a_metric_of_our_own_is_compared_by_its_key(roots):
    found = make() | {"metrics": {"attribute_accuracy": 0.75}}
    put(roots / "runs", found)
    assert results.comparison("aviary", "attribute_accuracy").to_numpy().tolist() == [["0.75"]]
    assert results.comparison("aviary", "Accuracy", key="attribute_accuracy").to_numpy().tolist() == [["0.75"]]


WAYS = st.tuples(
    st.sampled_from(["recorded", "this run"]),
    st.sampled_from([*protocols.PROTOCOLS, "zero-shot", "fid2k-aviarynet2"]),
    st.sampled_from(["smoke", "cpu", "gpu", "paper"]),
    st.sampled_from([32, 64, 256]),
    st.sampled_from([None, 200, 2000]),
    st.sampled_from([None, 400, 2933]),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(WAYS, st.sampled_from(["gan-cls", "dm-gan"]), st.integers(0, 3)), max_size=12, unique=True))
def test_figures_made_in_different_ways_never_share_a_column(runs):
    ways = {way: 1000.0 + index for index, way in enumerate(dict.fromkeys(way for way, _, _ in runs))}
    names = ("protocol", "profile", "image_size", "generated_count", "real_count")
    some = make(dataset="cub")
    with tempfile.TemporaryDirectory() as folder:
        for index, ((origin, *way), model, seed) in enumerate(runs):
            metrics = {"metrics": {"fid": ways[origin, *way]}, "model": model, "seed": seed}
            results.write(Path(folder, origin, str(index)), some | dict(zip(names, way, strict=True)) | metrics)
        table = results.figures("cub", runs_root=Path(folder, "this run"), recorded_root=Path(folder, "recorded"))
    ours = table[~table["column"].str.startswith("published")]
    assert (ours.groupby("column")["value"].nunique() == 1).all()  # every way has a value of its own
    assert (ours.groupby("value")["column"].nunique() == 1).all()
    assert all(any(way[1] in column for way in ways) for column in ours["column"])


# --- sanity and text


def test_swapped_headings_are_noticed():
    right = make(16.09, dataset="cub", protocol="fid30k-inception-legacy") | {
        "metrics": {"fid": 16.09, "is_mean": 4.75}
    }
    swapped = right | {"metrics": {"fid": 4.75, "is_mean": 16.09}}
    assert results.implausible(right) == []
    assert len(results.implausible(swapped)) == 2
    assert all("wrong heading" in sentence for sentence in results.implausible(swapped))


def test_what_cannot_be_is_noticed_and_what_is_only_bad_is_not():
    assert "at least 1" in results.implausible(make() | {"metrics": {"is_mean": 0.5}})[0]
    assert "squared distance" in results.implausible(make() | {"metrics": {"fid": -3.0}})[0]
    assert results.implausible(make(0.5)) == []  # AviaryNet's FIDs have a scale of their own
    assert results.implausible(make(9999.0)) == []
    assert results.implausible(make() | {"dataset": "coco", "metrics": {"is_mean": 30.49, "fid": None}}) == []


def test_markdown_is_padded_and_escaped():
    table = pd.DataFrame({"a|b": [1, 2.5]}, index=pd.Index(["x", "long"], name="method"))
    assert results.to_markdown(table).splitlines() == [
        "| method | a\\|b |",
        "| ------ | ---- |",
        "| x      | 1.0  |",
        "| long   | 2.5  |",
    ]
