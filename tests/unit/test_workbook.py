"""The lessons as a student's own copies: made once, never touched again."""

import json
import sys

import pytest
from nbformat import v4

from t2i import workbook
from t2i.errors import UserError


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "00_tour", "print(1)")
    write(tmp_path, "solutions/00_tour_solutions", "print('é')")
    return tmp_path


def write(root, name, source):
    file = root / "notebooks" / f"{name}.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(v4.new_notebook(cells=[v4.new_code_cell(source)])), encoding="utf-8")


def test_lessons_and_solutions_are_copied_once(root):
    made, older = workbook.prepare(root)
    assert made == [root / "workbook/00_tour.ipynb", root / "workbook/solutions/00_tour_solutions.ipynb"] and not older
    original, copy = (json.loads((root / folder / "00_tour.ipynb").read_text()) for folder in ("notebooks", "workbook"))
    assert copy["cells"] == original["cells"] and copy["metadata"].pop("t2i")
    assert copy["metadata"] == original["metadata"]
    made[0].write_text("my own work")
    assert workbook.prepare(root) == ([], []) and made[0].read_text() == "my own work"


def test_a_copy_of_a_lesson_that_changed_since_is_named_and_left(root):
    (copy, _), _ = workbook.prepare(root)
    before = copy.read_bytes()
    write(root, "00_tour", "print(2)")
    assert workbook.prepare(root) == ([], [copy]) and copy.read_bytes() == before
    copy.rename(copy.with_name("00_mine.ipynb"))
    assert workbook.prepare(root) == ([copy], []) and "print(2)" in copy.read_text()


def test_a_damaged_lesson_is_named(root):
    (root / "notebooks" / "00_tour.ipynb").write_text("{}")
    with pytest.raises(UserError, match=r"00_tour\.ipynb is no notebook .*Restore it: git checkout"):
        workbook.prepare(root)


def test_jupyterlab_has_the_checkout_as_its_root_and_the_tour_open(root, monkeypatch, capsys):
    monkeypatch.setattr(workbook.paths, "checkout", lambda: root)
    monkeypatch.setenv("T2I_RUNS", "relative")
    monkeypatch.setenv("T2I_DATA", "too")
    started = []
    monkeypatch.setattr(workbook.os, "execv", lambda program, command: started.append((program, command)))
    workbook.open_lab(browser=False, port=1234)
    ((program, command),) = started
    assert program == sys.executable and command[:4] == [sys.executable, "-m", "jupyter", "lab"]
    assert {f"--ServerApp.root_dir={root}", "--ServerApp.port=1234", "--no-browser"} <= set(command)
    assert command[-1] == str(root / "workbook" / "00_tour.ipynb")
    assert workbook.os.environ["T2I_RUNS"].endswith("/relative") and workbook.os.environ["T2I_RUNS"].startswith("/")
    assert "2 lessons and solutions are copied" in capsys.readouterr().out
