"""Every committed notebook keeps the anatomy of a lesson."""

import pytest
from lint import LESSON_RULES, NAMES, SOLUTION_RULES, Notebook

from t2i import paths

FOLDER = paths.checkout() / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted(FOLDER.glob("solutions/*.ipynb"))
CASES = [(path, rule) for path in LESSONS for rule in LESSON_RULES]
CASES += [(path, rule) for path in SOLUTIONS for rule in SOLUTION_RULES]


@pytest.mark.parametrize(("path", "rule"), CASES, ids=[f"{path.stem}-{rule.__name__}" for path, rule in CASES])
def test_anatomy(path, rule):
    assert list(rule(Notebook(path))) == []


def test_the_notebooks_are_the_planned_lessons_and_their_solutions():
    lessons = [path.stem for path in LESSONS]
    assert lessons, "there is no lesson"
    assert [name for name in NAMES if name in lessons] == lessons
    assert [path.stem for path in SOLUTIONS] == [f"{name}_solutions" for name in lessons]
