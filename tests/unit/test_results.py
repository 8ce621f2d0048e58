import math
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i import config, paths, results, tables
from t2i.errors import UserError
from t2i.metrics import protocols, records
from t2i.metrics.metric import Column, Metric
from t2i.metrics.table import METRICS, columns
from t2i.provenance import commit

pytestmark = pytest.mark.usefixtures("roots")


def make(fid=50.0, model="gan-cls", dataset="aviary", profile="cpu", seed=0, protocol="fid2k-aviarynet1", **more):
    settings = config.load(model, dataset, profile, seed=seed, **more)
    metrics = {"fid": fid, "is_mean": 4.0, "generated_count": 2000, "real_count": 400}
    return records.make(settings, metrics, protocol, steps=settings.steps, eval_seconds=1.5, finished=True)


def put(root, found, name="result.json"):
    return records.write(
        root / f"{found['model']}-{found['profile']}-s{found['seed']}-{found['protocol']}", found, name
    )


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
    for reading in (lambda: records.read(path), results.collect, lambda: results.comparison("aviary")):
        with pytest.raises(UserError, match=sentence) as caught:
            reading()
        assert str(path) in str(caught.value) and f"evaluate --run {path.parent}" in str(caught.value)


def test_a_folder_is_recorded_by_its_name(roots):
    (roots / "my-cats").mkdir()
    settings = config.load("gan-cls", str(roots / "my-cats"), "cpu")
    found = records.make(settings, {"fid": 3.0}, "fid2k-aviarynet1")
    assert found["dataset"] == "folder-my-cats"
    records.write(paths.runs_root() / "a", found)
    assert len(results.comparison(str(roots / "my-cats"))) == 1


def test_collect_tells_runs_from_recorded_ones_and_the_newest_from_older_ones(roots):
    put(roots / "runs", make(50.0) | {"date": "2026-01-01T00:00:00+00:00"})
    put(roots / "runs", make(40.0) | {"date": "2026-01-02T00:00:00+00:00"}, "result-again.json")
    put(roots / "recorded", make(45.0))
    table = results.collect()
    assert list(table["origin"]) == ["recorded", "this run", "this run"]
    assert list(table["fid"]) == [45.0, 40.0, 50.0] and list(table["earlier"]) == [0, 0, 1]
    assert set(table["commit"]) == {commit()}
    assert list(results.figures("aviary")["run"]) == [
        "recorded, 32 px, 2,400 steps, 1 seed",
        "this run, 32 px, 2,400 steps, 1 seed",
        "this run, 32 px, 2,400 steps, measured before, 2026-01-01, 1 seed",
    ]


def test_without_results_the_tables_are_empty():
    assert results.collect().empty and "protocol" in results.collect()
    assert results.comparison("aviary").empty
    assert tables.summary("aviary") == "There are no results on aviary yet."


def test_published_recorded_and_this_run_stand_side_by_side(roots):
    put(roots / "recorded", make(60.0, dataset="cub"))
    put(roots / "runs", make(70.0, dataset="cub"))
    put(roots / "runs", make(80.0, dataset="cub", model="gan-cls-int", protocol="fid2k-inception-tf"))
    table = results.comparison("cub")
    legacy = "published (legacy PyTorch)"
    made = "(32 px, 2,000 generated, 400 real; whole, square; data not known)"
    assert table.at["DM-GAN", legacy] == "16.09 / 15.52"
    rows = table.set_index("run", append=True)
    assert rows.at[("GAN-INT-CLS", "published"), legacy] == "194.41"
    ours = "this run, 32 px, 2,400 steps, 1 seed"
    assert rows.at[("GAN-INT-CLS", ours), f"fid2k-inception-tf {made}"] == "80.00"
    assert rows.at[("GAN-CLS", ours), f"fid2k-aviarynet1 {made}"] == "70.00"
    assert rows.at[("GAN-CLS", ours.replace("this run", "recorded")), f"fid2k-aviarynet1 {made}"] == "60.00"
    assert (rows.loc["GAN-CLS", legacy] == results.EMPTY).all()
    kinds = [run.split(",")[0] for run in table["run"]]
    assert set(kinds) == {"published", "recorded", "this run"}
    assert kinds == sorted(kinds, key=["published", "recorded", "this run"].index)


def test_seeds_are_averaged_and_counted(roots):
    for seed, fid in enumerate((10.0, 12.0, 14.0)):
        put(roots / "runs", make(fid, seed=seed))
    put(roots / "runs", make(99.0, profile="gpu"))
    table = results.comparison("aviary").set_index("run")
    (cpu,) = [column for column in table if "(32 px" in column]
    (gpu,) = [column for column in table if "(64 px" in column]
    assert table.at["this run, 32 px, 2,400 steps, 3 seeds", cpu] == "12.00 ± 2.00 (n = 3)"
    assert list(table[gpu]) == [results.EMPTY, "99.00"]
    for one in (dict(profile="gpu"), dict(size=64)):
        assert list(results.comparison("aviary", **one).columns) == ["run", gpu]


def test_a_bad_row_stays(roots):
    put(roots / "runs", make(9999.0))
    put(roots / "runs", make(math.nan, model="gan-cls-int"))
    table = results.comparison("aviary")
    assert list(table.iloc[:, 1]) == ["9999.00", results.EMPTY]


def test_a_metric_of_our_own_is_compared_by_its_key(roots):
    found = make() | {"metrics": {"my_score": 0.75}}
    put(roots / "runs", found)
    for figure in (results.figures("aviary", "my_score"), results.figures("aviary", "Score", key="my_score")):
        assert list(figure["text"]) == ["0.75"]


def test_a_run_that_was_not_measured_so_has_no_row(roots):
    """An encoder has no FID; a FID that is no number is still a FID, and stays."""
    put(roots / "runs", make(math.nan))
    put(roots / "runs", make(model="damsm", protocol="r-precision") | {"metrics": {"r_precision": 0.5}})
    assert list(results.figures("aviary", "FID")["method"].unique()) == ["GAN-CLS"]
    (row,) = results.figures("aviary", "R-precision").itertuples()
    assert (row.method, row.text) == ("damsm", "50.0")


class Sharpness(Metric):
    """A metric that someone adds."""

    name = "sharpness"
    columns = (Column("sharpness", "Sharpness", 1, "sharpness_shuffled"),)


def test_the_entry_of_a_metric_says_how_tables_show_it(roots, monkeypatch):
    monkeypatch.setitem(METRICS, "sharpness", Sharpness())
    figures = {"sharpness": 0.25, "sharpness_shuffled": 0.125, "matching_score": None}
    put(roots / "runs", make() | {"metrics": figures})
    assert list(results.figures("aviary", "Sharpness")["text"]) == ["0.2"]
    table = results.conditioning("aviary")
    assert list(table.index) == ["gan-cls s0 (this run, cpu)"]
    assert table.at[table.index[0], "Sharpness"] == "0.2"
    assert table.at[table.index[0], "Sharpness, shuffled"] == "0.1"
    assert table.at[table.index[0], "D's score of real pairs %"] == results.EMPTY


def test_a_title_means_one_figure():
    every = [column for metric in METRICS.values() for column in metric.columns]
    assert all(columns()[column.title] == column for column in every)
    assert {"FID": "fid", "IS": "is_mean", "KID": "kid_mean"}.items() <= {c.title: c.key for c in every}.items()


def test_encoders_are_not_asked_whether_the_caption_matters(roots):
    put(roots / "runs", make(model="damsm", protocol="r-precision") | {"metrics": {"r_precision": 0.5}})
    assert results.conditioning("aviary").empty


WAYS = st.tuples(
    st.sampled_from([*protocols.PROTOCOLS, "zero-shot", "fid2k-aviarynet2"]),
    st.sampled_from(["box, shorter", "whole, square", ""]),
    st.sampled_from(["", "0b4221bcbc3b", "1b4221bcbc3b"]),
    st.sampled_from([32, 64, 256]),
    st.sampled_from([None, 200, 2000]),
    st.sampled_from([None, 400, 2933]),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(WAYS, st.sampled_from(["gan-cls", "dm-gan"]), st.integers(0, 3)), max_size=9, unique=True))
def test_figures_made_in_different_ways_never_share_a_column(runs):
    ways = {way: 1000.0 + index for index, way in enumerate(dict.fromkeys(way for way, _, _ in runs))}
    names = ("protocol", "preparation", "data", "image_size", "generated_count", "real_count")
    some = make(dataset="cub")
    with tempfile.TemporaryDirectory() as folder:
        for index, (way, model, seed) in enumerate(runs):
            metrics = {"metrics": {"fid": ways[way]}, "model": model, "seed": seed}
            records.write(Path(folder, "runs", str(index)), some | dict(zip(names, way, strict=True)) | metrics)
        table = results.figures("cub", runs_root=Path(folder, "runs"), recorded_root=Path(folder, "none"))
    ours = table[~table["column"].str.startswith("published")]
    assert (ours.groupby("column")["value"].nunique() == 1).all()  # every way has a value of its own
    assert (ours.groupby("value")["column"].nunique() == 1).all()
    assert all(any(way[0] in column for way in ways) for column in ours["column"])


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


def test_a_figure_stands_under_the_protocol_of_its_own_metric(roots):
    """Not under FID's, whose pictures it may not have seen: two ways of counting never share a cell."""
    ways = "r-precision-2k", "r-precision-200"
    for seed, way in enumerate(ways):
        settings = config.load("attngan", "aviary", "cpu", seed=seed)
        names = {"fidelity": "fid2k-aviarynet1", "r_precision": way}
        figures = {"fid": 50.0, "r_precision": 0.5, "generated_count": 2000, "real_count": 400}
        put(roots / "runs", records.make(settings, figures, "fid2k-aviarynet1", names))
    own = [column for column in results.comparison("aviary", "R-precision").columns if "r-precision" in column]
    assert sorted(column.split(",")[0] for column in own) == sorted(ways)
    assert not any("generated" in column or "real" in column for column in own)
    assert len(results.figures("aviary", "FID")) == 1  # which they share
