"""The steps of a ladder of recorded models: paired by seed, and with everything else that changes from rung to rung."""

import math

import pytest

from t2i import config as configs
from t2i import ladder, paths
from t2i.metrics import records

pytestmark = pytest.mark.usefixtures("roots")


def record(model, seed, fid, profile="cpu", data="", **settings):
    """A record of one run, with its settings beside it, as ``t2i record`` leaves it."""
    config = configs.load(model, "aviary", profile, seed=seed, **settings)
    metrics = {"fid": fid, "generated_count": 2000, "real_count": 400}
    made = records.make(config, metrics, config.evaluation_protocol, steps=config.steps, finished=True, data=data)
    folder = paths.recorded_results() / config.name
    records.write(folder, made)
    paths.write_json(folder / "config.json", config.to_dict())


def step(below, above, measure="FID"):
    table = ladder.steps([(below, above)], "aviary", "cpu")
    return table[table["measure"] == measure].iloc[0]


def test_a_step_is_the_mean_difference_within_a_seed():
    for seed, (below, above) in enumerate([(90.0, 80.0), (60.0, 52.0), (75.0, 63.0)]):
        record("ig-dm-gan", seed, below)
        record("mtwig-dm-gan", seed, above)
    found = step("ig-dm-gan", "mtwig-dm-gan")
    assert found["seeds"] == 3 and found["change"] == pytest.approx(-10)
    deviation = 2  # of the differences
    assert found["half"] == pytest.approx(4.3027 * deviation / math.sqrt(3), rel=1e-4) and found["shown"]
    assert found["besides"] == "nothing"


def test_two_seeds_ask_for_six_times_the_interval_of_many():
    assert ladder.student(2) == pytest.approx(12.7062, rel=1e-5) and ladder.student(1000) == pytest.approx(1.962, 1e-3)
    assert math.isnan(ladder.student(1)) and math.isnan(ladder.student(0))


def test_the_confound_of_the_first_rung_is_named_and_absent_from_the_even_one():
    for model in ("dm-gan", "ig-dm-gan", "mtwig-dm-gan", "mtwig-sdm-gan", "msmt-gan"):
        for seed in (0, 1):
            record(model, seed, 80.0 + seed)
    alone = "residual_blocks 2 → 3, damsm_scales last → all"
    assert step("dm-gan", "mtwig-dm-gan")["besides"] == step("dm-gan", "ig-dm-gan")["besides"] == alone
    rungs = ("ig-dm-gan", "mtwig-dm-gan", "mtwig-sdm-gan", "msmt-gan")
    assert [step(*rungs[k : k + 2])["besides"] for k in range(3)] == ["nothing"] * 3


def test_what_an_older_record_does_not_say_is_a_question_mark():
    for seed in (0, 1):
        record("ig-dm-gan", seed, 80.0)
        record("mtwig-dm-gan", seed, 70.0)
        file = paths.recorded_results() / f"ig-dm-gan-aviary-cpu-s{seed}" / "config.json"
        settings = configs.load("ig-dm-gan", "aviary", "cpu", seed=seed).to_dict()
        del settings["batch_norm_statistics"]
        paths.write_json(file, settings)
    assert step("ig-dm-gan", "mtwig-dm-gan")["besides"] == "batch_norm_statistics ? → measured"


def test_records_that_cannot_be_compared_are_no_pair():
    """Of another seed, another length, other real pictures, another profile: nothing is said about them."""
    record("ig-dm-gan", 0, 90.0)
    record("ig-dm-gan", 1, 90.0, steps=5)
    record("ig-dm-gan", 2, 90.0, data="0123abcd")
    record("ig-dm-gan", 3, 90.0, "night")
    for seed in (1, 2, 3, 4):
        record("mtwig-dm-gan", seed, 80.0)
    found = step("ig-dm-gan", "mtwig-dm-gan")
    assert found["seeds"] == 0 and found["besides"] == "" and math.isnan(found["change"]) and not found["shown"]
    record("mtwig-dm-gan", 0, 80.0)
    found = step("ig-dm-gan", "mtwig-dm-gan")
    assert found["seeds"] == 1 and found["besides"] == "nothing" and math.isnan(found["change"])


def test_what_was_not_measured_has_no_pair():
    for model in ("ig-dm-gan", "mtwig-dm-gan"):
        record(model, 0, 80.0)
    assert step("ig-dm-gan", "mtwig-dm-gan", "R-precision")["seeds"] == 0


def test_without_records_a_ladder_has_its_rungs_and_no_figures():
    table = ladder.steps([("dm-gan", "ig-dm-gan")], "aviary")
    assert list(table["measure"]) == list(ladder.MEASURES) and not table["seeds"].any()


def test_a_table_has_a_row_for_every_step_and_stars_what_is_shown():
    for seed, (below, above) in enumerate([(90.0, 80.0), (60.0, 52.0), (75.0, 63.0)]):
        record("dm-gan", seed, below)
        record("mtwig-dm-gan", seed, above)
    names = {"tails alone": ("ig-dm-gan", "mtwig-dm-gan"), "tails and more": ("dm-gan", "mtwig-dm-gan")}
    table = ladder.table(ladder.steps(list(names.values()), "aviary"), names)
    alone = "residual_blocks 2 → 3, damsm_scales last → all"
    steps = [("tails alone", "ig-dm-gan to mtwig-dm-gan", ""), ("tails and more", "dm-gan to mtwig-dm-gan", alone)]
    assert list(table.index) == steps and list(table.columns) == list(ladder.MEASURES)
    assert list(table["FID"]) == ["– (0)", "-10.0 ± 5.0 * (3)"] and set(table["R-precision"]) == {"– (0)"}
