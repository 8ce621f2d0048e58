"""One record: what is in it, and what is no record."""

import json
import math

import numpy as np
import pytest
import torch

from t2i import config, paths
from t2i.errors import UserError
from t2i.metrics import protocols, records


def make(**more):
    settings = config.load("gan-cls", "aviary", "cpu")
    metrics = {"fid": 50.0, "is_mean": 4.0, "generated_count": 2000, "real_count": 400}
    return records.make(settings, metrics, "fid2k-aviarynet1", **more)


def test_a_record_says_how_its_numbers_came_about(tmp_path):
    settings = config.load("gan-cls", "aviary", "cpu", seed=7)
    metrics = {
        "fid": torch.tensor(12.5),
        "kid_mean": np.float64(0.25),
        "is_mean": None,
        "accuracy": math.nan,
        "generated_count": 2000,
        "real_count": 400,
    }
    times = {"train_seconds": 60.0, "eval_seconds": 3.0}
    named = {"fidelity": "fid2k-aviarynet1"}
    found = records.make(settings, metrics, protocols.get("fid2k-aviarynet1"), named, steps=8, **times)
    assert (found["steps"], found["train_seconds"], found["eval_seconds"]) == (8, 60.0, 3.0)
    assert found["protocols"] == named
    assert found["metrics"] == {"fid": 12.5, "kid_mean": 0.25, "is_mean": None, "accuracy": None}
    assert (found["generated_count"], found["real_count"]) == (2000, 400)
    assert (found["model"], found["dataset"], found["profile"], found["seed"]) == ("gan-cls", "aviary", "cpu", 7)
    assert found["protocol"] == "fid2k-aviarynet1"
    assert found["protocol_settings"]["extractor"] == "aviarynet1" and found["protocol_settings"]["images"] == 2000
    assert found["fingerprint"] == settings.fingerprint()
    assert found["hardware"]["torch"] == torch.__version__ and found["hardware"]["device"]
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert records.read(records.write(tmp_path / "run", found)) == found
    json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=pytest.fail)  # no NaN, which is no JSON


def test_a_protocol_outside_the_registry_keeps_its_name():
    found = records.make(config.load("char-cnn-rnn"), {"zero_shot_top1_%": 40.0}, "zero-shot")
    assert (found["protocol"], found["protocol_settings"], found["generated_count"]) == ("zero-shot", None, None)


@pytest.mark.parametrize(("field", "value"), [("seed", "0"), ("seed", True), ("protocol", None), ("metrics", [])])
def test_a_field_of_the_wrong_kind_is_named(tmp_path, field, value):
    path = records.write(tmp_path / "run", make() | {field: value})
    with pytest.raises(UserError, match=rf"is not a result: {field} "):
        records.read(path)


def test_a_metric_that_is_no_number_is_named(tmp_path):
    path = records.write(tmp_path, make() | {"metrics": {"fid": "12"}})
    with pytest.raises(UserError, match=r"metrics\.fid"):
        records.read(path)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"result\.json does not exist\. .*python -m t2i evaluate"):
        records.read(tmp_path / "result.json")


def test_the_seconds_of_older_records_are_those_of_the_evaluation(tmp_path):
    old = make(eval_seconds=12.5)
    del old["train_seconds"]
    old["seconds"] = old.pop("eval_seconds")
    found = records.read(records.write(tmp_path, old))
    assert found["eval_seconds"] == 12.5 and "seconds" not in found and "train_seconds" not in found


def test_every_committed_record_is_read():
    files = list((paths.checkout() / "data" / "results").rglob("result*.json"))
    assert files
    for file in files:
        assert records.read(file)["eval_seconds"] > 0


def test_figures_join_those_that_are_there():
    before = make(protocols={"fidelity": "fid2k-aviarynet1"}, eval_seconds=10.0, extra={"note": "x"})
    settings = config.load("gan-cls", "aviary", "cpu")
    new = {"matching_score": 0.5, "is_mean": 4.5, "real_count": 400}
    after = records.make(
        settings, new, "fid2k-aviarynet1", {"matching": "matching-400"}, steps=4, train_seconds=9.0, eval_seconds=2.0
    )
    joined = records.merged(before, after)
    assert joined["metrics"] == {"fid": 50.0, "is_mean": 4.5, "matching_score": 0.5}
    assert joined["protocols"] == {"fidelity": "fid2k-aviarynet1", "matching": "matching-400"}
    assert (joined["generated_count"], joined["real_count"], joined["extra"]) == (2000, 400, {"note": "x"})
    assert (joined["eval_seconds"], joined["train_seconds"], joined["steps"]) == (12.0, 9.0, 4)
    assert records.merged(None, after) == after
