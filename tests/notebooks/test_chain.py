"""The whole course by papermill, in a fresh workspace with another seed than the committed one, by what it leaves.

The exit code alone proves little: a notebook that writes to the wrong folder ends well too. Cells tagged
``nbval-check-output`` must print what is committed, as nbval compares it; so every lesson is executed once. The
solutions, and the committed seed, are nbval's.
"""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
import torch
from nbval.plugin import coalesce_streams, get_sanitize_patterns

from t2i import paths

pytestmark = pytest.mark.slow
SEED = 7
LESSONS = sorted(path.stem for path in (paths.checkout() / "notebooks").glob("*.ipynb"))
TRAINED = {  # lesson: the run that it must leave
    "02_char_cnn_rnn": "char-cnn-rnn",
    "03_damsm": "damsm",
    "04_gan_cls": "gan-cls",
    "05_stackgan": "stackgan-stage2",
    "06_attngan": "attngan",
    "07_dmgan": "dm-gan",
    "08_hybrids": "attndm-gan",
    "09_msmt_gan": "msmt-gan",
}
RUNS = {name: f"{model}-aviary-smoke-s{SEED}" for name, model in TRAINED.items() if name in LESSONS}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """What the course left: the folder of the runs, and what the command printed as ``printed.txt`` beside it."""
    folder = tmp_path_factory.mktemp("chain")
    environment = os.environ | {"T2I_RUNS": str(folder / "runs"), "T2I_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "t2i", "course", "--profile", "smoke", "--seed", str(SEED)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_ran_to_its_end_with_the_given_seed(workspace, name):
    executed = workspace / "runs" / "notebooks" / "smoke" / f"{name}.ipynb"
    code = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code" and cell.source]
    (injected,) = [cell.source for cell in code if "injected-parameters" in cell.metadata.get("tags", [])]
    assert f"SEED = {SEED}" in injected and 'PROFILE = "smoke"' in injected
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert str(executed) in (workspace / "printed.txt").read_text()


def checked(path) -> dict[str, list[tuple[str, str]]]:
    """What the tagged cells of a notebook show, by the id of the cell: kinds of output with their texts. Pictures are
    not compared, and what may differ between machines is made equal."""
    differing = get_sanitize_patterns((paths.checkout() / "notebooks" / "sanitize.cfg").read_text())

    def same(text: str) -> str:
        for pattern, replacement in differing:
            text = re.sub(pattern, replacement, text)
        return text

    def texts(output) -> list[tuple[str, str]]:
        parts = {output.name: output.text} if output.output_type == "stream" else output.data
        return [(kind, same(text)) for kind, text in parts.items() if kind not in ("image/png", "image/jpeg")]

    tagged = (
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if "nbval-check-output" in cell.metadata.get("tags", [])
    )
    return {cell.id: [text for output in coalesce_streams(cell.outputs) for text in texts(output)] for cell in tagged}


@pytest.mark.parametrize("name", LESSONS)
def test_checked_cells_print_what_is_committed(workspace, name):
    committed = checked(paths.checkout() / "notebooks" / f"{name}.ipynb")
    assert committed and all(committed.values())
    assert checked(workspace / "runs" / "notebooks" / "smoke" / f"{name}.ipynb") == committed


@pytest.mark.parametrize("run", RUNS.values())
def test_a_training_lesson_leaves_weights_settings_log_and_results(workspace, run):
    folder = workspace / "runs" / run
    assert json.loads((folder / "config.json").read_text())["seed"] == SEED
    assert torch.load(folder / "checkpoint.pt", weights_only=True)
    assert [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    assert json.loads((folder / "result.json").read_text())


def test_a_generator_leaves_sheets_of_samples(workspace):
    sheets = list((workspace / "runs" / RUNS["04_gan_cls"] / "samples").glob("*.png"))
    assert sheets and all(sheet.read_bytes().startswith(b"\x89PNG") for sheet in sheets)


def test_the_course_ends_with_the_comparison_table(workspace):
    printed = (workspace / "printed.txt").read_text()
    assert "|" in printed[: printed.index("Executed notebooks:")]
