"""Bars are tqdm's in a terminal, and in a notebook text that can be saved; errors there are one line."""

import io
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

from t2i import progress
from t2i.errors import UserError, in_notebook

WIDGET = "application/vnd.jupyter.widget-view+json"
CELLS = (
    "from t2i.progress import tqdm\nfor _ in tqdm(range(30), desc='birds', unit='bird'): pass\nprint('after')",
    "bar = tqdm(total=1_000_000, desc='file', unit='B', unit_scale=True, disable=None)\nbar.update(250_000)\n"
    "tqdm.write('a note')\nbar.close()",
    "list(tqdm(range(3), disable=True))",
    "from t2i.notebook import banner\nfrom t2i import plots\nimport pandas as pd\n"
    "for _ in range(2): banner('smoke', 'aviary', 0)\n"
    "plots.curves(pd.DataFrame({'step': [1, 2], 'loss': [3.0, 1.0]}), {'loss': ['loss']})",
    "from t2i.errors import UserError\n"
    "raise UserError('runs/x is at step 312', 'Ask for more --steps, or replace it with --no-resume.')",
    "from t2i.errors import Stopped\nraise Stopped('x stopped after step 3; the same command goes on from there.')",
)


@pytest.fixture
def shown(monkeypatch):
    """The states that a notebook shows of a line, one after another."""
    states = []
    cell = SimpleNamespace(update=lambda data, raw: states.append(data["text/plain"]))
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, **_: states.append(data["text/plain"]) or cell)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    return states


def test_a_line_moves_and_ends_as_a_sentence(shown):
    with progress.tqdm(total=8, initial=2, desc="gan-cls", unit="step", mininterval=0, miniters=1) as bar:
        bar.set_postfix(a=1, b=2, c=3)
        for _ in range(2):
            bar.update()
    moving = [state for state in shown if state.startswith("gan-cls: step 4 of 8  ██████████░░░░░░░░░░  50%")]
    assert moving and "to go" in moving[0] and moving[0].endswith("a=1  b=2")  # a third number has no room
    assert shown[-1] == "gan-cls: step 4 of 8, 00:00"


def test_what_is_switched_off_shows_nothing(shown, monkeypatch):
    assert list(progress.tqdm(range(3), disable=True)) == [0, 1, 2]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress.tqdm(range(3), disable=None)) == [0, 1, 2]
    assert shown == []


def test_in_a_terminal_it_is_tqdms_bar():
    file = io.StringIO()
    with progress.tqdm(total=2, desc="birds", file=file, disable=False) as bar:
        bar.update(2)
    assert "birds: 100%|" in file.getvalue() and "2/2" in file.getvalue()


@pytest.mark.slow
def test_in_a_kernel_bars_are_text_figures_described_and_errors_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in CELLS])
    NotebookClient(notebook, allow_errors=True, resources={"metadata": {"path": tmp_path}}).execute()
    nbformat.validate(notebook)
    bar, file, silent, figure, error, stopped = (cell.outputs for cell in notebook.cells)
    assert not any(WIDGET in output.get("data", {}) for cell in notebook.cells for output in cell.outputs)
    assert [o.get("text") or o.data["text/plain"] for o in bar] == ["birds: bird 30 of 30, 00:00", "after\n"]
    assert [o.get("text") or o.data["text/plain"] for o in file] == ["file: 250kB of 1.00MB, 00:00", "a note\n"]
    assert [o.output_type for o in silent] == ["execute_result"]
    assert figure[-1].metadata["image/png"]["alt"] == "Curves over 2 steps: loss from 3 to 1"
    sentence = "runs/x is at step 312. Ask for more steps, or replace it with RESUME = False in the parameters cell."
    assert error[0].traceback == [f"UserError: {sentence}"]
    assert stopped[0].traceback == ["x stopped after step 3; the same cell, run again, goes on from there."]


@pytest.mark.parametrize(
    ("mend", "there"),
    [
        ("Lower --learning-rate or try another --seed; see the curve.", "Lower learning_rate or try another SEED; see"),
        ("Replace the run: python -m t2i train gan-cls --seed 3 --no-resume", "Replace the run: RESUME = False in the"),
        (
            "Prepare it: python -m t2i data prepare --dataset cub",
            "Prepare it: in a terminal (File, New, Terminal), python -m t2i data prepare --dataset cub",
        ),
        ("Name an empty folder, or move them away.", "Name an empty folder, or move them away."),
    ],
)
def test_a_mend_is_written_as_a_notebook_has_it(mend, there):
    assert in_notebook(mend).startswith(there)
    assert str(UserError("x", mend)) == f"x. {mend}"  # the command line's is as it was
