"""One run has one value of a figure: in all committed outputs, in prose, in data/results and data/released."""

import json
import shutil

import pandas as pd
import pytest
from figures import Known, conflicts, repeated, shown, unfounded
from nbformat import v4, write

from t2i import paths
from t2i.metrics import records

ROOT = paths.checkout()
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
MEASURING = [page for page in NOTEBOOKS if page.parent.name == "notebooks" and page.stem[:2] not in ("00", "01")]
PROSE = [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/**/README.md")]
RELEASED, RECORDED = "aviary-200, 32 px, 8,000 steps, 1 seed", "aviary, 32 px, 800 steps, 3 seeds"


@pytest.fixture(scope="module")
def known():
    return Known()


def test_outputs_agree_with_the_records_and_with_each_other():
    assert conflicts(NOTEBOOKS, Known()) == []


@pytest.mark.parametrize("page", PROSE, ids=[str(page.relative_to(ROOT)) for page in PROSE])
def test_figures_in_prose_are_published_or_recorded(known, page):
    assert list(unfounded(page, known.by_method())) == []


@pytest.mark.parametrize("page", MEASURING, ids=[page.stem for page in MEASURING])
def test_figures_of_every_lesson_that_measures_are_read(page):
    assert list(shown(page))


@pytest.mark.parametrize("page", NOTEBOOKS, ids=[page.stem for page in NOTEBOOKS])
def test_what_a_table_compares_was_not_measured_once(page):
    assert list(repeated(page)) == []


def test_rows_of_one_measurement_are_seen(page):
    one = {"body": 0.98, "belly": 0.96}
    (said,) = repeated(page(pd.DataFrame({f"{size} px": one for size in (8, 16, 32)}).T))
    assert said == "06_attngan, cell 1: 3 rows of 0.98, 0.96"
    assert not list(repeated(page(pd.DataFrame({"8 px": one, "16 px": one, "32 px": one | {"body": 0.9}}).T)))


@pytest.fixture
def page(tmp_path):
    """A notebook with a table, as HTML or Markdown, or with prose."""

    def make(table="", prose="", name="06_attngan"):
        kind = "text/markdown" if isinstance(table, str) else "text/html"
        output = v4.new_output("display_data", {kind: table if isinstance(table, str) else table.to_html()})
        cells = [v4.new_markdown_cell(prose), v4.new_code_cell("1", outputs=[output])]
        write(v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
        return tmp_path / f"{name}.ipynb"

    return make


def standing(text, whose=("AttnGAN", "released", RELEASED), title="FID"):
    index = pd.MultiIndex.from_tuples([(*whose[:2], "none"), whose], names=["method", "whose", "data, size, length"])
    return pd.DataFrame({("by a protocol", title): ["–", text], ("by another", "IS"): ["–", "–"]}, index=index)


def fid(folder):
    return json.loads((folder / records.NAME).read_text())["metrics"]["fid"]


def test_a_table_must_show_what_is_released(page):
    right = fid(paths.released() / "attngan-aviary")
    assert conflicts([page(standing(f"{right:.2f}"))], Known()) == []
    (said,) = conflicts([page(standing(f"{right + 0.01:.2f}"))], Known())
    assert said == f"06_attngan, cell 1: AttnGAN, released, fid: {right + 0.01:.2f}, but {right:g} in the records"
    (said,) = conflicts([page(standing("20.00", ("MTWIG ks=1", "released", RELEASED)))], Known())
    assert said.endswith("of which there is no record")


def test_a_change_of_one_record_is_seen(page, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    for seed in range(3):
        name = f"attngan-aviary-cpu-s{seed}"
        shutil.copytree(paths.recorded_results() / name, folder / name)
    values = pd.Series([fid(run) for run in sorted(folder.iterdir())])
    shows = page(standing(f"{values.mean():.2f} ± {values.std():.2f}", ("AttnGAN", "recorded", RECORDED)))
    monkeypatch.setattr(paths, "recorded_results", lambda: folder)
    assert conflicts([shows], Known()) == []
    file = folder / "attngan-aviary-cpu-s1" / records.NAME
    found = json.loads(file.read_text())
    found["metrics"]["fid"] += 0.05
    file.write_text(json.dumps(found))
    assert len(conflicts([shows], Known())) == 1


@pytest.mark.parametrize(("other", "count"), [("273.39", 0), ("273.394", 0), ("273.40", 1), ("27.339", 1)])
def test_two_pages_must_show_one_value_of_this_workspaces_run(page, other, count):
    first = page(standing("273.394", ("AttnGAN", "this run", "aviary, 32 px, 20 steps, 1 seed")), name="07_dmgan")
    second = page(pd.DataFrame({"this run, 20 steps": {"FID": other}}))
    assert len(conflicts([first, second], Known())) == count


def test_a_board_in_parts_is_read_too(page):
    board = (
        "### aviary, 32 px\n\n| method | run | FID |\n| --- | --- | --- |\n| DM-GAN | this run, 20 steps | 295.47 |\n"
    )
    board += "\n| method | body color seen % (shuffled) |\n| --- | --- |\n| DM-GAN | {} (9.5) |\n"
    other = page(pd.DataFrame({"this run, 20 steps": {"fid": "295.465", "body_accuracy": "0.155"}}), name="07_dmgan")
    for text, count in (("15.5", 0), ("15.8", 1), ("0.2", 1)):
        assert len(conflicts([other, page(board.format(text), name="10_leaderboard")], Known())) == count


SAID = [  # 23.98 and 16.09 are published
    ("The FID of AttnGAN is 23.98, and that of DM-GAN 16.09.", 0),
    ("The FID of AttnGAN is 23.89.", 1),
    ("The FID of DM-GAN is 23.98.", 1),
    ("It has a FID of 23.98, $x = 0.123$ and `0.456`, 0.789 points less.\n\nA weight of 0.123.", 0),
    ("| method | FID |\n| --- | --- |\n| AttnGAN | R-precision 67.82 |\n| DM-GAN | R-precision 67.83 |", 1),
]


@pytest.mark.parametrize(("prose", "count"), SAID)
def test_prose_must_say_what_is_known(page, known, prose, count):
    assert len(list(unfounded(page(prose=prose), known.by_method()))) == count


def test_a_card_must_say_what_its_model_has(tmp_path, known):
    folder = shutil.copytree(paths.released() / "attngan-aviary", tmp_path / "attngan-aviary")
    card = folder / "README.md"
    assert list(unfounded(card, known.by_method())) == []
    other = fid(paths.released() / "dm-gan-aviary")
    card.write_text(card.read_text() + f"\n\nA FID of {other:.2f}; body 0.12.\n")
    assert len(list(unfounded(card, known.by_method()))) == 2
