"""The published figures: complete, attributed, and never in a column with figures made another way."""

import pytest

from t2i import paths, results
from t2i.errors import UserError


@pytest.fixture(autouse=True)
def only_published(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "recorded")
    monkeypatch.setattr(paths, "released", lambda: tmp_path / "released")


RECORDS = results.facts()["records"]
LEGACY = "legacy_torchvision_pytorch_fid_802da39"


def test_every_record_says_what_it_is_and_where_it_comes_from():
    for record in RECORDS:
        for name in ("id", "dataset", "method", "metric", "source"):
            assert record[name] and isinstance(record[name], str), record["id"]
        assert record["source"] in results.facts()["sources"], record["id"]
        assert record["value"] is None or isinstance(record["value"], int | float), record["id"]
        implementations = results.facts()["fid_implementations"] if record["metric"] == "FID" else [None]
        assert record["fid_impl"] in implementations, record["id"]


def test_sources_can_be_cited():
    sources = results.facts()["sources"]
    assert {record["source"] for record in RECORDS} == set(sources)
    reproduced = {key for key, source in sources.items() if source["reproduced_in_this_course"]}
    assert reproduced == {
        "attndm-dmattn-2022",
        "dmgan-reproduction",
        "msmt-gan",
        "stackgan-variants-2024",
        "gan-cls-oxford",
    }
    for source in sources.values():
        assert source["title"] and source["authors"] and "year" in source


def test_inconsistencies_belong_to_the_reproduced_documents():
    found = results.facts()["inconsistencies"]
    sources = results.facts()["sources"]
    assert all(sources[each["source"]]["reproduced_in_this_course"] for each in found)
    assert {each["severity"] for each in found} == {"high", "medium", "low"}
    assert all(each["what"] and each["evidence"] and "in_this_course" in each for each in found)


def test_known_figures():
    def value(**wanted):
        (record,) = [r for r in RECORDS if all(r[name] == each for name, each in wanted.items())]
        return record["value"], record["std"]

    readme = {"source": "dm-gan-readme", "dataset": "CUB"}
    assert value(**readme, method="DM-GAN (paper)", metric="FID", fid_impl=LEGACY) == (16.09, None)
    assert value(**readme, method="AttnGAN (paper)", metric="FID", fid_impl=LEGACY) == (23.98, None)
    assert value(**readme, method="AttnGAN (paper)", metric="IS") == (4.36, 0.03)
    assert value(**readme, method="DM-GAN (released pretrained)", metric="FID", fid_impl="tensorflow") == (11.91, None)
    assert value(id="r001") == (19.78, None) and value(id="r002") == (17.04, None)
    assert value(dataset="CUB", method="MSMT-GAN", metric="FID") == (9.34, None)
    assert value(dataset="COCO", method="MSMT-GAN", metric="params_test_time_incl_text_encoder_M") == (55.16, None)


def test_figures_are_chosen_by_the_papers_names_or_the_courses():
    assert len(results.published()) == 242
    by_course = results.published("cub", "dm-gan", "FID")
    by_paper = results.published("CUB", "DM-GAN", "FID")
    assert by_course.equals(by_paper) and set(by_course["value"]) == {16.09, 11.91, 15.52}
    assert results.published("cub", "no such model").empty
    methods = {record["method"] for record in RECORDS}
    assert set(results.PUBLISHED_METHODS.values()) <= methods
    assert set(results.PUBLISHED_DATASETS.values()) <= {record["dataset"] for record in RECORDS}


@pytest.mark.parametrize("dataset", ["CUB", "COCO", "Oxford-102"])
@pytest.mark.parametrize("metric", sorted({record["metric"] for record in RECORDS}))
def test_a_column_holds_one_implementation_or_one_source(dataset, metric):
    columns = {}
    for record, row in zip(
        results.published(dataset, metric=metric).to_dict("records"),
        results.figures(dataset, metric).to_dict("records"),
        strict=True,
    ):
        assert row["value"] == record["value"] or (row["text"] == results.EMPTY)
        stated = metric == "FID" and record["fid_impl"] != "not_stated"
        columns.setdefault(row["column"], set()).add(record["fid_impl"] if stated else record["source"])
    assert all(len(made) == 1 for made in columns.values())
    made = [each for column in columns.values() for each in column]
    assert len(set(made)) == len(made)


def test_an_unstated_implementation_is_said_to_be_unstated():
    table = results.comparison("CUB")
    column = "published (implementation not stated; dmgan-reproduction)"
    assert table.at["DM-GAN (reproduced, batch 2, RTX 2060)", column] == "17.76"
    assert table[column].tolist().count(results.EMPTY) == len(table) - 1


def test_a_method_without_a_figure_keeps_its_row():
    row = results.comparison("CUB").loc["ControlGAN"]
    assert row["run"] == "published" and (row.drop("run") == results.EMPTY).all()


def test_our_check_would_have_caught_the_swapped_headings():
    for record in RECORDS:
        if "corrected_swapped_heading" in record["flags"]:
            right, wrong = ("fid", "is_mean") if record["metric"] == "FID" else ("is_mean", "fid")
            made = {"dataset": "cub", "protocol": "fid30k-inception-legacy"}
            assert results.implausible({**made, "metrics": {right: record["value"]}}) == []
            assert results.implausible({**made, "metrics": {wrong: record["value"]}}) != []


def test_no_published_figure_of_generated_birds_is_implausible():
    for record in RECORDS:
        key = {"FID": "fid", "IS": "is_mean"}.get(record["metric"])
        if key and record["dataset"] in ("CUB", "Oxford-102"):
            made = {"dataset": "cub", "protocol": "fid30k-inception-tf", "metrics": {key: record["value"]}}
            assert results.implausible(made) == [], record["id"]


def test_a_broken_file_says_how_to_restore_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    results.facts.cache_clear()
    try:
        with pytest.raises(UserError, match=r"published\.json cannot be read .*git checkout"):
            results.facts()
    finally:
        results.facts.cache_clear()


def test_what_comes_with_the_course_is_restored_from_where_it_came_from(tmp_path, monkeypatch):
    assert paths.restore(paths.course_data() / "published.json").endswith("git checkout -- data/published.json")
    monkeypatch.setattr(paths, "_CARRIED", tmp_path)  # as in an installed wheel
    assert "pip install" in paths.restore(paths.course_data() / "published.json")
