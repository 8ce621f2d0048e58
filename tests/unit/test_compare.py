"""Models side by side: pictures, curves, and the table in which a lesson ends."""

from dataclasses import replace

import pytest
import torch

from t2i import compare, data, paths, released, results
from t2i.metrics import records
from t2i.training.run import Run

RELEASED = pytest.mark.skipif("attngan-aviary" not in released.NAMES, reason="attngan-aviary does not come with this")

FLOWERS = pytest.mark.skipif("gan-cls-flowers" not in released.NAMES, reason="gan-cls-flowers does not come with this")


@pytest.fixture
def nothing_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))


def of(table, method: str, whose: str):
    """The rows of one method from one place."""
    return table[(table.index.get_level_values(0) == method) & (table.index.get_level_values(1) == whose)]


@RELEASED
def test_a_sheet_shows_every_run_with_its_name_above_its_own_columns():
    run = released.load("attngan-aviary")
    captions = ["a red bird", "a blue bird"]
    figure = compare.sheet({"one": run, "two": run}, captions, count=2)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["one", "", "two", "", "", "", "", ""]
    shown = [torch.as_tensor(axis.images[0].get_array()) for axis in figure.axes]
    expected = run.sample(captions, 2, 0).permute(0, 2, 3, 1)
    for k, picture in enumerate((0, 1, 0, 1, 2, 3, 2, 3)):
        assert torch.equal(shown[k], expected[picture])


def test_pictures_of_several_sizes_share_a_sheet():
    small, large = torch.rand(1, 1, 3, 2, 2), torch.rand(1, 1, 3, 4, 4)
    both = compare._alike([small, large])
    assert both.shape == (2, 3, 4, 4)
    assert torch.equal(both[0, :, ::2, ::2], small[0, 0]) and torch.equal(both[0, :, 1::2, 1::2], small[0, 0])


@RELEASED
def test_a_run_stands_alone_where_nothing_is_released_beside_it():
    run = released.load("attngan-aviary")
    assert list(compare.named(run, run).values()) == [run]
    both = compare.named(run, released.load("attngan-aviary"))
    assert [name.split(",")[0] for name in both] == ["this run", "released"] and next(iter(both.values())) is run


@RELEASED
def test_curves_have_a_line_for_every_run_and_column():
    run = released.load("attngan-aviary")
    figure = compare.curves(
        {"this run, 1": run, "released, 2": run}, {"a": ["d_loss"], "b": ["g_words", "g_kl"]}, heights=[4.2]
    )
    assert [len(axis.lines) for axis in figure.axes] == [3, 4]
    assert [line.get_label() for line in figure.axes[0].lines[:2]] == ["d_loss, this run", "d_loss, released"]


@pytest.mark.usefixtures("nothing_trained")
def test_every_protocol_has_columns_of_its_own():
    table = compare.standings(["attngan", "dm-gan"], "aviary", "cpu")
    paper = of(table, "AttnGAN", "published").iloc[0]
    assert paper["TensorFlow", "FID"] == "14.01"
    assert paper["old PyTorch port", "FID"].startswith("23.98")
    assert ("old PyTorch port, inferred", "FID") not in table.columns  # the hybrids' paper quotes the same 23.98
    known = results.collect().query("origin == 'recorded' and model == 'attngan' and dataset == 'aviary'")
    recorded = of(table, "AttnGAN", "recorded")["fid2k-aviarynet1, 600 real", "FID"]
    (ours,) = recorded[recorded != results.EMPTY]  # other sizes have other columns
    assert float(ours.split(" ± ")[0]) == pytest.approx(known["fid"].astype(float).mean(), abs=0.06)
    assert paper["fid2k-aviarynet1, 600 real", "FID"] == results.EMPTY


@pytest.mark.usefixtures("nothing_trained")
def test_real_pictures_stand_last_under_the_protocols_that_measured_them():
    protocols = {"r_precision": "r-precision-2k", "attributes": "attributes-aviarynet1"}
    record = {"protocols": protocols, "extra": {"attributes": {"body": {"real": 0.999}}}}
    last = compare.standings(["attngan"], "aviary", "cpu", record, 0.475).iloc[-1]
    assert last.name[0] == "real pictures"
    assert last["r-precision-2k", "R-precision %"] == "47.5"
    assert last["attributes-aviarynet1", "body color %"] == "99.9"
    assert (last == results.EMPTY).sum() == len(last) - 2
    last = compare.standings(["attngan"], "aviary", "cpu", record, float("nan")).iloc[-1]
    assert (last == results.EMPTY).sum() == len(last) - 1


@pytest.mark.usefixtures("nothing_trained")
def test_a_data_set_without_published_figures_has_those_of_birds_beside_it():
    table = compare.standings(["attngan"], "flowers", "cpu")
    assert list(table.index) == [("AttnGAN", "published", "CUB, 256 px")]


@pytest.fixture
def of_flowers():
    """The released model of flowers, with its photographs in ``root``."""

    def run(root):
        made = released.load("gan-cls-flowers")
        return Run(replace(made.config, root=str(root)), made.state, made.directory)

    return run


@FLOWERS
def test_photographs_stand_before_what_is_drawn_for_their_captions(of_flowers, little_flowers):
    figure = compare.with_photographs(of_flowers(little_flowers), rows=2, count=3)
    assert len(figure.axes) == 8 and figure.axes[0].get_title(loc="left") == "photograph"
    unseen = data.load(of_flowers(little_flowers).config).split("test")
    assert figure.axes[0].get_ylabel().replace("\n", " ") in {text for one in unseen for text in one.captions}


@FLOWERS
def test_without_the_photographs_there_is_nothing_to_stand_before(of_flowers, tmp_path, capsys):
    run = of_flowers(tmp_path / "absent")
    assert compare.with_photographs(run) is None
    compare.show_photographs(run)
    assert capsys.readouterr().out.startswith("The photographs of 'flowers' are not on this machine; data/README.md")


def test_released_models_of_photographs_are_held_against_real_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "released", lambda: tmp_path)
    figures = {"fid": 120.0, "kid_mean": 4.5, "class_consistency": 0.25, "class_consistency_shuffled": 0.0625}
    figures |= {
        "fid_halves": 30.0,
        "kid_halves": 0.25,
        "class_consistency_real": 0.75,
        "class_consistency_chance": 0.05,
    }
    figures |= {"fid_wrong_classes": 60.0, "kid_wrong_classes": 1.5, "diversity": 0.5}
    record = {"model": "gan-cls", "steps": 7000, "protocol": "fid2k-lite0", "metrics": figures}
    monkeypatch.setattr(records, "read", lambda path: record if path == tmp_path / "one" / records.NAME else None)
    table = compare.of_photographs(["one"])
    assert table.columns.tolist() == ["FID", "KID", "class seen %", "shuffled or chance %", "diversity"]
    assert table.to_numpy().tolist() == [
        ["120.0", "4.500", "25.0", "6.2", "0.50"],
        ["30.0", "0.250", "75.0", "5.0", "–"],
        ["60.0", "1.500", "–", "–", "–"],
    ]
    assert table.index[0] == "GAN-CLS, released, 7,000 steps" and table.index.name == "fid2k-lite0"
