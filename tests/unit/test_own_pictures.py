"""What docs/own_pictures.md and README's table of lessons show can be made again."""

import importlib.util

import pytest
from PIL import Image

from t2i import course, paths
from t2i.data import folder
from t2i.data.check import check

DOCS = paths.checkout() / "docs"
KILOBYTES = 12


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawn_boats_become_a_data_set_without_problems(tmp_path):
    boats = tmp_path / "boats"
    script("boats").main(boats, 12)
    report = check(folder.prepare(boats, boats / "captions.csv", tmp_path / "prepared"))
    assert (report.images, report.captions, report.problems) == (12, 36, [])
    assert not any("colour throughout" in note for note in report.notes)
    assert " a orange" not in (boats / "captions.csv").read_text(encoding="utf-8")
    drawn = [Image.open(file).tobytes() for file in sorted(boats.glob("*.png"))]
    assert len(set(drawn)) == 12
    script("boats").main(tmp_path / "again", 12)
    assert drawn == [Image.open(file).tobytes() for file in sorted((tmp_path / "again").glob("*.png"))]


def test_every_lesson_has_a_small_thumbnail_that_its_source_gives():
    thumbnails, readme = script("thumbnails"), (paths.checkout() / "README.md").read_text(encoding="utf-8")
    assert [*thumbnails.SOURCES] == [file.stem[:2] for file in course.lessons()]
    for lesson in thumbnails.SOURCES:
        file = DOCS / "thumbnails" / f"{lesson}.png"
        assert file.stat().st_size <= KILOBYTES * 1000
        assert f"](docs/thumbnails/{lesson}.png)" in readme
        assert thumbnails.thumbnail(lesson).size == Image.open(file).size


@pytest.mark.parametrize("page", ["own_pictures.md"])
def test_a_page_shows_pictures_that_are_there_and_small(page):
    shown = [part.split(")")[0] for part in (DOCS / page).read_text(encoding="utf-8").split("](")[1:]]
    pictures = [DOCS / name for name in shown if name.endswith(".png")]
    assert pictures and all(file.stat().st_size <= 60_000 for file in pictures)
