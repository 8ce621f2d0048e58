"""The faults that tables once had, one by one, and what a table is printed as."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from t2i import config, paths, published, results, tables
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.metrics import conditioning, r_precision, records
from t2i.metrics.evaluate import test_captions as captions_of
from t2i.metrics.protocols import PROTOCOLS
from t2i.metrics.r_precision import TIES
from t2i.metrics.table import METRICS, columns
from t2i.released import NAMES
from t2i.training.encoders import Encoders

pytestmark = pytest.mark.usefixtures("roots")


def put(folder, fid, model="attngan", dataset="cub", protocol="fid30k-inception-tf", *, more=None, **settings):
    """A record of a finished run, in the runs' folder."""
    made = config.load(model, dataset, settings.pop("profile", "paper"), **settings)
    metrics = {"fid": fid, "generated_count": 30000, "real_count": 2933}
    about = {"steps": made.steps or 50000, "finished": True, "data": "0b4221bcbc3b"} | (more or {})
    names = about.pop("protocols", {})
    found = records.make(made, metrics | about.pop("metrics", {}), protocol, names, **about)
    return records.write(paths.runs_root() / folder, found)


def rows(dataset="cub"):
    """The cells of our tables: (table, method, run, heading) -> text."""
    return {
        (table.title, method, cells["run"], head): cells[head]
        for table in tables.board(dataset)
        for method, cells in zip(table.frame.index, table.frame.to_dict("records"), strict=True)
        for head in table.frame.columns
        if head != "run" and cells[head] != ""
    }


# --- the faults


def test_fault_1_imported_and_own_weights_never_meet(roots):
    """An imported generator has model, data set, profile and seed of an own one."""
    put("own-s0", 30.0)
    put("own-s1", 40.0, seed=1)
    put("attngan_cub_G_NET", 14.0, more={"origin": "imported", "steps": 0})
    assert len(results.collect()) == 3  # none dropped
    found = {key[2]: text for key, text in rows().items()}
    assert found == {"this run, 256 px, 50,000 steps, 2 seeds": "35.00 ± 7.07", "imported, 256 px, 1 seed": "14.00"}


def test_fault_1_an_imported_run_says_so():
    run = SimpleNamespace(is_released=False, state={"step": 0, "finished": True})
    assert records.origin(run) == "imported"
    run.state["step"] = 4
    assert records.origin(run) == "own"
    run.is_released = True
    assert records.origin(run) == "released"


def test_fault_2_other_settings_and_unfinished_runs_are_no_seeds(roots):
    put("a", 50.0, seed=0, steps=100, learning_rate=2e-4)
    put("b", 12.0, seed=1, steps=50000, learning_rate=1e-3)
    put("c", 13.0, seed=2, steps=50000, learning_rate=2e-4)
    put("d", 99.0, seed=3, steps=50000, learning_rate=2e-4, more={"steps": 700, "finished": False})
    found = {key[2]: text for key, text in rows().items()}
    assert sorted(found.values()) == ["12.00", "13.00", "50.00", "99.00"] and not any("±" in t for t in found.values())
    assert "this run, 256 px, 700 steps (unfinished), 1 seed" in found
    labels = [run for run, text in found.items() if text in ("12.00", "13.00")]
    assert all("50,000 steps, 1 seed, settings " in run for run in labels) and len(set(labels)) == 2


def test_fault_3_real_pictures_prepared_or_drawn_otherwise_make_a_table_of_their_own(roots):
    for crop, resize in (("whole", "square"), ("box", "square"), ("box", "shorter")):
        put(f"{crop}-{resize}", 20.0, model="gan-cls", crop=crop, resize=resize)
    put("other", 20.0, model="gan-cls", crop="box", resize="shorter", seed=1, more={"data": "1b4221bcbc3b"})
    put("unknown", 20.0, model="gan-cls", crop="box", resize="shorter", seed=2, more={"data": ""})
    found = [table.title for table in tables.board("cub")]
    assert len(found) == len(set(found)) == 5
    assert "cub, 64 px; real pictures: whole, square; data 0b4221bcbc3b" in found
    assert "cub, 64 px; real pictures: box, shorter; data not known" in found
    ours = [column for column in results.comparison("cub").columns if column.startswith("fid30k")]
    assert len(ours) == 5


def test_fault_4_what_is_a_share_in_records_is_a_percentage_in_every_table(roots):
    metrics = {"r_precision": 0.77, "r_precision_shuffled": 0.01}
    put("a", 20.0, more={"metrics": metrics, "protocols": {"r_precision": "r-precision-30k-damsm-12345678"}})
    assert [text for key, text in rows().items() if key[3].startswith("R-precision")] == ["77.0 (1.0)"]
    for metric, key in (("R-precision", None), ("R-precision_%", "r_precision")):
        found = results.figures("cub", metric, key=key).dropna(subset="value")
        assert found["value"].between(1, 100).all() and {76.58, 77.0} <= set(found["value"])
    assert list(results.conditioning("cub")["R-precision %"]) == ["77.0"]


def test_fault_4_a_figure_that_papers_print_in_per_cent_is_a_percentage_here():
    assert all(column.percent for column in columns().values() if column.published.endswith("%"))


def test_fault_5_another_judge_is_another_column(roots):
    for seed, judge in enumerate(("12345678", "12345678", "87654321")):
        name = {"r_precision": f"r-precision-30k-damsm-{judge}"}
        put(f"s{seed}", 20.0, seed=seed, more={"metrics": {"r_precision": 0.5 + seed / 10}, "protocols": name})
    put("s3", 20.0, seed=3, more={"metrics": {"r_precision": 0.9}, "protocols": {"r_precision": "r-precision-30k"}})
    found = [text for key, text in rows().items() if key[3].startswith("R-precision")]
    assert found == ["55.0 ± 7.1 (n = 2)", "70.0", "90.0"]
    (board,) = tables.board("cub")
    assert "R-precision % [3]: r-precision-30k, judge not known." in board.notes
    assert next(text for key, text in rows().items() if key[3] == "FID") == "20.00 ± 0.00"  # which no DAMSM judges


def test_fault_5_the_digest_of_a_judge_is_that_of_its_weights():
    weights = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    judge = Encoders(config.load("damsm"), weights, {}, {"vocabulary": ["bird"]})
    assert (
        len(judge.digest) == 8
        and judge.digest == Encoders(config.load("damsm"), *({**weights}, {}), judge.extras).digest
    )
    for other in (
        Encoders(judge.config, weights | {"a": torch.arange(4.0) + 1}, {}, judge.extras),
        Encoders(judge.config, weights, {"c": torch.ones(1)}, judge.extras),
        Encoders(judge.config, weights, {}, {"vocabulary": ["birds"]}),
    ):
        assert other.digest != judge.digest


def test_fault_6_a_run_under_two_protocols_has_two_names(roots):
    more = {"metrics": {"matching_score": 0.5, "matching_score_shuffled": 0.25}}
    put("a", 20.0, more=dict(more))
    put("b", 21.0, protocol="fid2k-inception-tf", more=dict(more))
    names = list(results.conditioning("cub").index)
    assert names == [
        "attngan s0 (this run, paper, fid30k-inception-tf)",
        "attngan s0 (this run, paper, fid2k-inception-tf)",
    ]


def test_fault_6_what_both_evaluations_measured_alike_is_no_second_seed(roots):
    more = {"metrics": {"diversity": 0.5}, "protocols": {"diversity": "diversity-20x8"}}
    put("a", 20.0, more=dict(more))
    put("b", 21.0, protocol="fid2k-inception-tf", more=dict(more))
    found = {key[2]: text for key, text in rows().items() if key[3].startswith("diversity")}
    assert list(found.values()) == ["0.50", "0.50"] and any(", beside fid" in run for run in found)


def test_fault_7_both_rules_of_ties_stand_in_the_record():
    """Three pictures whose caption wins, ties with one of another class, and loses."""
    codes = torch.eye(3)[[0, 0, 0]].double()
    own = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 1, 0]]).double()
    pool, classes = torch.tensor([[0.6, 0.8, 0], [0, 0, 1]]).double(), np.array([0, 0, 0])
    given = codes, own, classes, pool, np.array([1, 0]), 0
    assert r_precision.hits(*given).tolist() == [True, False, False]
    assert r_precision.hits(*given, ties="official").tolist() == [True, True, False]
    assert set(TIES) == {"strict", "official"}


def test_fault_7_chance_by_the_official_rule_counts_a_guess_at_the_tied_caption():
    classes, pool_classes = np.array([0, 0, 1]), np.array([0, 1, 1, 1])
    asked = ["own", "a", "b"], classes, ["own", "a", "b", "a"], pool_classes, 0
    assert r_precision.chance(*asked) == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)
    assert r_precision.chance(*asked, ties="official") == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)


def test_fault_10_images_are_drawn_from_the_whole_split_where_there_are_more_than_pictures():
    class Unseen:
        def __len__(self):
            return 5000

        def captions(self, numbers, rng):
            return [[str(number)] for number in numbers]

    captions, numbers = captions_of(Unseen(), 300, seed=0)
    assert len(set(numbers)) == 300 and numbers.max() > 4000 and numbers.min() < 1000
    assert captions == [str(number) for number in numbers]
    assert (captions_of(Unseen(), 300, seed=1)[1] != numbers).any()


def test_fault_10_tables_have_every_metric_and_say_where_pictures_are_few(roots):
    keys = {column.key: 0.5 for column in columns().values()} | {"fid": 20.0}
    made = put("a", 20.0, protocol="fid2k-inception-tf", more={"metrics": keys})
    record = json.loads(made.read_text()) | {"generated_count": 2000}
    records.write(made.parent, record)
    (board,) = tables.board("cub")
    heads = " | ".join(board.frame.columns)
    assert all(column.heading in heads for column in columns().values())
    assert any(note.startswith("FID: 2,000 pictures are too few for a covariance of 2,048") for note in board.notes)
    put("b", 20.0)
    assert sum("too few" in note for table in tables.board("cub") for note in table.notes) == 1


# --- older records


def test_an_older_record_is_completed_by_the_settings_beside_it(roots):
    path = put("a", 20.0, steps=100, seed=3)
    now = records.read(path)
    settings = config.load("attngan", "cub", "paper", steps=100, seed=3)
    older = {name: value for name, value in now.items() if name not in records.NEW}
    records.write(path.parent, older)
    assert records.read(path)["settings"] == now["fingerprint"] != now["settings"]  # averaged with no other
    paths.write_json(path.parent / "config.json", settings.to_dict())
    found = records.read(path)
    assert found == now | {"data": ""}
    records.write(path.parent, older | {"steps": 60})
    assert records.read(path)["finished"] is False
    paths.write_json(path.parent / "config.json", replace(settings, seed=4).to_dict())
    assert records.read(path)["preparation"] == ""  # of another run


def test_seeds_have_the_same_settings_and_nothing_else_has():
    first, second, other = (
        records.make(config.load("attngan", "cub", "paper", **each), {}, "fid30k-inception-tf")["settings"]
        for each in (dict(seed=0), dict(seed=1), dict(seed=0, learning_rate=1e-3))
    )
    assert first == second != other


@pytest.mark.parametrize("folder", ["results", "released"])
def test_committed_records_lack_nothing_that_can_be_known(folder):
    files = sorted((paths.checkout() / "data" / folder).glob("*/result*.json"))
    assert files or not NAMES
    for file in files:
        kept = json.loads(file.read_text())
        assert kept.keys() >= records.NEW and kept["preparation"] and kept["finished"] is True, file
        assert ("released" if folder == "released" else "own") == kept["origin"]
        assert kept["protocols"], file


# --- rows, columns, formats


def test_what_makes_a_column_and_what_makes_a_row_share_nothing_and_are_in_every_record(roots):
    assert not set(results.COLUMN) & set(results.ROW)
    put("a", 20.0)
    assert {*results.COLUMN, *results.ROW} <= set(results.collect().columns)


def test_no_method_of_ours_carries_a_size():
    assert not any("px" in name for name in published.PUBLISHED_METHODS.values())


def test_a_bad_row_stays_in_the_board(roots):
    put("a", math.nan)
    assert list(rows().values()) == [results.EMPTY]


def test_no_line_is_wider_than_a_terminal_and_nothing_is_lost_in_parts(roots):
    keys = {key: 0.5 for column in columns().values() for key in (column.key, column.shuffled) if key}
    for seed in range(3):
        put(f"s{seed}", 20.0 + seed, seed=seed, more={"metrics": dict(keys)})
    for text in (tables.summary("cub"), tables.summary("coco"), tables.summary(papers=True)):
        assert max(map(len, text.splitlines())) <= tables.WIDTH
    (board,) = tables.board("cub")
    heads = [name for part in tables.parts(board.frame) for name in part.columns if name != "run"]
    assert heads == [name for name in board.frame.columns if name != "run"] and len(heads) > 10


def test_csv_and_json_hold_every_figure(roots):
    put("a", 20.0, more={"metrics": {"r_precision": 0.5}})
    read = json.loads(tables.summary("cub", form="json"))
    ours = [row for row in read["figures"] if row.get("model")]
    assert {(row["metric"], row["value"], row["n"]) for row in ours} >= {("FID", 20.0, 1), ("R-precision %", 50.0, 1)}
    assert len(read["figures"]) - len(ours) == sum(
        len(published.published("cub", metric=metric)) for metric in ("FID", "IS", "R-precision_%")
    )
    lines = list(csv.DictReader(io.StringIO(tables.summary("cub", form="csv"))))
    assert len(lines) == len(read["figures"]) and lines[0]["seeds"] == "0"


def test_the_papers_tables_hold_every_figure_of_theirs_and_every_error():
    records_ = [row for row in published.facts()["records"] if row["source"] in published.papers()]
    found = published.tables()
    assert sorted(row["id"] for table in found for row in table.rows) == sorted(row["id"] for row in records_)
    notes = " ".join(note for table in found for note in table.notes)
    assert all(row["what"] in notes for row in published.facts()["inconsistencies"])
    (third,) = [t for t in found if t.title == "Table 3"]
    assert third.frame.at["MSMT-GAN", "COCO: FID (TF per MSMT-GAN)"].startswith("23.22")
    assert third.frame.at["DM-GAN", "COCO: R-precision %"] == "92.23 ± 0.37"
    assert {row["dataset"] for table in published.tables("coco") for row in table.rows} == {"COCO"}


def test_every_column_of_the_papers_has_a_command_and_its_protocol_exists():
    found = published.commands()
    assert len(found) == sum(table.frame.shape[1] for table in published.tables())
    assert (found != "").all(axis=None)
    named = {name for text in found["command"] for name in re.findall(r"(?:protocol|with) ([\w-]+)", text)}
    assert named - set(PROTOCOLS) <= {"is30k-inception-birds", "is30k-inception-flowers"}
    assert {"fid30k-inception-legacy", "fid30k-inception-tf"} <= named
    metrics = {name for text in found["command"] for name in re.findall(r"metric (\S+)", text)}
    assert metrics <= set(METRICS)


def test_the_command_filters_writes_and_refuses(roots, capsys):
    put("a", 20.0, model="gan-cls", image_size=64)
    put("b", 30.0, model="gan-cls", image_size=32)
    assert main(["table", "--dataset", "cub", "--size", "32"]) == 0
    shown = capsys.readouterr().out
    assert "30.00" in shown and "cub, 64 px" not in shown
    assert main(["table", "--published", "--dataset", "coco", "--out", str(roots / "p.json")]) == 0
    assert json.loads((roots / "p.json").read_text())["figures"]
    for wrong in (["--out", str(roots / "p.pth")], ["--out", str(roots / "p.csv"), "--format", "json"]):
        assert main(["table", *wrong]) == 1
    with pytest.raises(UserError, match="is a folder"):
        tables.form_of(roots, None)


def test_the_judges_are_named_in_protocols(monkeypatch):
    class Run:
        class encoders:
            config, digest = config.load("damsm"), "12345678"

    class Evaluation:
        run, captions, unseen = Run, ["a bird"] * 2000, SimpleNamespace(certain=range(600))

    for metric, name in ((r_precision.RPrecision(), "r-precision-2k"), (conditioning.Matching(), "matching-500")):
        assert metric.protocol(Evaluation) == f"{name}-damsm-12345678"
