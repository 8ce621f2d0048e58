"""Each rule of the anatomy lets a sound lesson pass and can fail."""

import lint
import nbformat
import pytest
from nbformat import v4

PICTURE = v4.new_output("display_data", {"image/png": "aGk=", "text/plain": "<Figure>"})
PARAMETERS = f'import os\n\n{lint.PROFILE}\nDATASET = "aviary"\nSEED = 0\nRESUME = True'
CARD = "# GAN-CLS\n\n[Previous: DAMSM](03_damsm.ipynb) · [Index](../README.md) · [Next](05_stackgan.ipynb)"


def said(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


@pytest.fixture
def lesson(tmp_path):
    """A sound lesson on disk, and how to write it again after a change: ``save(cells)``."""
    folder = tmp_path / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    (tmp_path / "README.md").write_text("index")
    cells = [v4.new_markdown_cell(CARD), v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    for number, name in enumerate(lint.SECTIONS, 1):
        cells.append(v4.new_markdown_cell(f"## {number}. {name}\n\n```\n# no heading\n```"))
        cells.append(v4.new_code_cell("print((2, 3))", outputs=[said("(2, 3)\n")]))
        cells.append(v4.new_markdown_cell("See [the paper](https://example.org/a/b)."))
        cells.append(v4.new_markdown_cell("A ratio: 1/2."))
    cells[-1].source = "**Exercise 1.** One.\n\n**Exercise 2.** Two.\n\n**Exercise 3.** Three."
    cells.append(v4.new_code_cell('display(sheet)\nclosing(PROFILE, "05, in two stages.")'))
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell in code[1:4]:
        cell.metadata.tags = ["nbval-check-output"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    answers = [v4.new_markdown_cell(f"## Exercise {number}: an answer") for number in (1, 2, 3)]
    nbformat.write(v4.new_notebook(cells=answers), folder / "solutions" / "04_gan_cls_solutions.ipynb")

    def save(cells):
        nbformat.write(v4.new_notebook(cells=cells), folder / "04_gan_cls.ipynb")
        return lint.Notebook(folder / "04_gan_cls.ipynb")

    return cells, save


def test_a_sound_lesson_passes(lesson):
    cells, save = lesson
    notebook = save(cells)
    assert [problem for rule in lint.LESSON_RULES for problem in rule(notebook)] == []


def source(index, text):
    """A change of one cell's source; 1 holds the parameters, 3 and 7 are code, 2 is the first section."""
    return lambda cells: cells[index].update(source=text)


def output(index, *outputs):
    return lambda cells: cells[index].update(outputs=list(outputs))


def long_function(lines):
    return "def f():\n" + "    1\n" * (lines - 1)


FAULTS = [
    (lint.small_enough, output(3, said("x" * 1_200_000)), "the file has 12"),
    (lint.number_of_cells, lambda cells: cells.__delitem__(slice(30, None)), "30 cells, not 40 to 70"),
    (lint.number_of_cells, lambda cells: cells.extend(map(v4.new_markdown_cell, "x" * 30)), "77 cells"),
    (lint.prose_to_code, lambda cells: cells.extend(map(v4.new_code_cell, "1" * 30)), "0.79 markdown cells"),
    (lint.prose_to_code, lambda cells: cells.extend(map(v4.new_markdown_cell, "x" * 20)), "4.15 markdown cells"),
    (lint.small_cells, source(3, "1\n" * 21), "cell 3 has 21 lines"),
    (lint.plain_python, source(3, "x = 1\n!ls"), "cell 3 has a shell command"),
    (lint.plain_python, source(3, "%pip install torch"), "cell 3 has a shell command"),
    (lint.plain_python, source(3, "class Bird: pass"), "cell 3 defines the class Bird"),
    (lint.plain_python, source(3, long_function(9)), "cell 3: f has 9 lines"),
    (lint.parameters_cell, lambda cells: cells.pop(1), "0 cells tagged parameters"),
    (lint.parameters_cell, source(1, PARAMETERS.replace("= 0", "= int(0)")), "other than names set to literals"),
    (lint.parameters_cell, source(1, "import sys\n" + PARAMETERS), "other than names set to literals"),
    (lint.parameters_cell, source(1, PARAMETERS + "\nSTEPS = 3"), "SEED, STEPS, not"),
    (lint.parameters_cell, source(1, PARAMETERS.replace("cpu", "smoke")), "the profile is not read as"),
    (lint.title_card, lambda cells: cells.pop(0), "no title card"),
    (lint.title_card, source(0, CARD.replace("Index", "Contents")), "no link Index"),
    (lint.title_card, source(0, CARD.replace("[Next]", "[Stack]")), "no link Next"),
    (lint.links, source(0, CARD.replace("03_damsm", "03_dams")), "03_dams.ipynb leads nowhere"),
    (lint.links, source(4, "[a file](../data/missing.md#there)"), "missing.md#there leads nowhere"),
    (lint.sections, source(2, "## Idea"), "'The idea' is missing"),
    (lint.sections, lambda cells: cells.append(cells.pop(2)), "The data, The pieces"),
    (lint.checked_cells, lambda cells: cells[3].metadata.pop("tags"), "2 cells are tagged"),
    (lint.checked_cells, output(3), "cell 3 is tagged nbval-check-output and has no output"),
    (lint.checked_cells, output(3, PICTURE), "cell 3 is tagged nbval-check-output and shows more than text"),
    (lint.executed_in_order, lambda cells: cells[3].update(execution_count=None), "make refresh"),
    (lint.executed_in_order, lambda cells: cells[3].update(execution_count=7), "make refresh"),
    (lint.clean_outputs, output(3, said("slow", "stderr")), "cell 3 shows an error or a warning"),
    (lint.clean_outputs, output(3, v4.new_output("error", ename="E", evalue="", traceback=[])), "shows an error"),
    (lint.clean_outputs, output(3, said("saved to /home/ada/runs/x.png")), "an absolute path: /home/ada"),
    (lint.clean_outputs, output(3, said("base64,/a/b= and /home/ada/x.png")), "an absolute path: /home/ada"),
    (lint.clean_outputs, output(3, said(r"saved to C:\Users")), r"an absolute path: C:\U"),
    (lint.clean_outputs, output(3, said("<Bird at 0x7f00aa11bb22>")), "a memory address: 0x7f00aa11bb22"),
    (lint.exercises, source(-2, "**Exercise 1.** One."), "it asks Exercise 1, not Exercise 1 to 3"),
    (lint.ending, lambda cells: cells.pop(), "does not end with closing"),
    (lint.ending, source(-1, "display(sheet)"), "does not end with closing"),
    (lint.ending, source(-1, 'closing(PROFILE, "05.")'), "shows no sheet"),
]


@pytest.mark.parametrize(("rule", "fault", "sentence"), FAULTS, ids=[f"{r.__name__}-{s}" for r, _, s in FAULTS])
def test_a_rule_can_fail(lesson, rule, fault, sentence):
    cells, save = lesson
    fault(cells)
    assert sentence in "; ".join(rule(save(cells)))


def test_every_rule_is_shown_to_fail():
    assert {rule for rule, _, _ in FAULTS} == set(lint.LESSON_RULES)


def test_solutions_must_answer_every_exercise(lesson):
    cells, save = lesson
    notebook = save(cells)
    answers = notebook.path.parent / "solutions" / "04_gan_cls_solutions.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("## Exercise 1")]), answers)
    assert list(lint.exercises(notebook)) == [f"{answers.name} has no heading for Exercise 2, Exercise 3"]
    answers.unlink()
    assert list(lint.exercises(notebook)) == [f"{answers.name} is missing"]


def test_the_first_and_the_last_lesson_need_no_neighbour(lesson):
    cells, save = lesson
    notebook = save(cells)
    for name, label in (("00_tour", "Previous"), ("10_leaderboard", "Next")):
        cells[0].source = CARD.replace(label, "Nothing")
        nbformat.write(v4.new_notebook(cells=cells), notebook.path.with_stem(name))
        assert list(lint.title_card(lint.Notebook(notebook.path.with_stem(name)))) == []


@pytest.mark.parametrize("text", ["$T2I_RUNS/gan-cls/x.png", "a/b/c", "<td>1</td>", "https://a.org/b/c", "1 / 2 / 3"])
def test_what_is_no_absolute_path(text):
    assert not lint.ABSOLUTE.search(text)
