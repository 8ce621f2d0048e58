"""docs/colab.ipynb on a machine that lacks the course, and on one that has it; Binder's setup beside it."""

import importlib.util
import subprocess
import sys

import nbformat
import pytest

from t2i import paths

ROOT = paths.checkout()
CELLS = {cell.id: cell.source for cell in nbformat.read(ROOT / "docs" / "colab.ipynb", as_version=4).cells}


@pytest.fixture
def called(monkeypatch, tmp_path):
    """What the notebook would start, in an empty folder."""
    commands = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    return commands


def run(*names, **values):
    exec("\n".join(CELLS[name] for name in names), values)


def test_the_course_is_cloned_and_installed_where_it_is_absent(called, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run("install", ADDRESS="https://example.org/course.git")
    clone, install = called
    assert clone[:2] == ["git", "clone"] and clone[-2:] == ["https://example.org/course.git", "course"]
    assert install[:4] == [sys.executable, "-m", "pip", "install"] and install[-1] == "course"
    assert sys.path[0].endswith("course")


def test_without_an_address_it_says_what_to_write(called, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="Write the address"):
        run("parameters", "install")
    assert called == []


def test_nothing_is_installed_where_the_course_is_there_and_birds_are_drawn(called, tmp_path):
    run("parameters", "install", "sample")
    assert called == [] and (tmp_path / "birds.png").stat().st_size > 1000


def test_it_is_committed_without_outputs():
    cells = nbformat.read(ROOT / "docs" / "colab.ipynb", as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)


def test_binder_sets_up_what_make_sets_up():
    script = (ROOT / ".binder" / "postBuild").read_text()
    assert "make setup" in script and "ipykernel install" in script
    assert (ROOT / ".binder" / "postBuild").stat().st_mode & 0o111
    python = (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"python={python}\n" in (ROOT / "environment.yml").read_text()
