"""The course runner on small notebooks: order, parameters, interpreter, failures, and outputs that can be committed."""

import base64
import io
import json
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import tqdm.auto
from nbformat import v4
from PIL import Image

import t2i
from t2i import course
from t2i.errors import UserError

PARAMETERS = 'PROFILE = "smoke"\nDATASET = "aviary"\nSEED = 0\nRESUME = True'


def code(source, tags=()):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


def write(root, name, *cells):
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = v4.new_notebook(cells=[code(PARAMETERS, ["parameters"]), *cells])
    nbformat.write(notebook, path)
    return path


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.text for c in cells if c.cell_type == "code" for o in c.outputs if o.output_type == "stream")


class ShownBar(tqdm.auto.tqdm):
    """A bar that the suite's TQDM_DISABLE does not hide."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, disable=False, **options)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    tables = SimpleNamespace(summary=lambda dataset, profile: f"table of {dataset} under {profile}")
    monkeypatch.setitem(sys.modules, "t2i.tables", tables)
    monkeypatch.setattr(t2i, "tables", tables, raising=False)
    return tmp_path


@pytest.mark.slow
def test_lessons_run_in_order_with_parameters_in_this_interpreter(workspace, monkeypatch, capfd):
    bogus = workspace / "jupyter" / "kernels" / "python3"
    bogus.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "another Python", "language": "python"}
    (bogus / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(workspace / "jupyter"))
    monkeypatch.setenv("T2I_RUNS", "runs")  # relative to the caller, not to the notebooks
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(course, "tqdm", ShownBar)
    monkeypatch.setattr(tqdm.auto, "tqdm", ShownBar)  # papermill's
    write(workspace, "02_second", code("import os; print(open(os.environ['T2I_RUNS'] + '/left.txt').read())"))
    write(
        workspace,
        "01_first",
        code("import os, sys; print(PROFILE, DATASET, SEED, RESUME, sys.executable, os.path.basename(os.getcwd()))"),
        code("open(os.environ['T2I_RUNS'] + '/left.txt', 'w').write('found')"),
    )

    executed = course.run("smoke", "cub", seed=7, root=workspace)

    assert executed == [workspace / "runs" / "notebooks" / "smoke" / f"{n}.ipynb" for n in ("01_first", "02_second")]
    assert printed(executed[0]).split() == ["smoke", "cub", "7", "True", sys.executable, "notebooks"]
    assert printed(executed[1]) == "found\n"
    out, err = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines() if line.endswith(" s")] == ["01_first", "02_second"]
    assert "table of cub under smoke" in out
    assert all(str(path) in out for path in executed)
    assert "WARNING" not in err
    assert "course" in err and "01_first" in err  # one bar for the course and one for each lesson


def test_only_the_named_lessons_run_and_a_folder_is_passed_whole(workspace, monkeypatch, capsys):
    write(workspace, "00_tour", code("print(DATASET, SEED)"))
    write(workspace, "01_never", code("1 / 0"))
    (workspace / "mine").mkdir()
    (workspace / "mine" / "dataset.json").touch()
    monkeypatch.chdir(workspace)
    (tour,) = course.run("smoke", "mine", only="00", root=workspace)
    assert printed(tour).split() == [str(workspace / "mine"), "0"]
    assert "table of" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "seconds", "sentence"),
    [
        ("raise ValueError('no such bird\\nsecond line')", 60, r"cell \[3\]: ValueError: no such bird\. The notebook"),
        ("import time; time.sleep(60)", 1, r"cell \[3\]: it took longer than 1 s\. The notebook"),
        ("import os; os._exit(1)", 60, r"cell \[3\]: .*[Kk]ernel died.* The notebook"),
    ],
)
def test_a_failing_cell_stops_the_course_with_one_sentence(workspace, monkeypatch, source, seconds, sentence):
    monkeypatch.setitem(course.CELL_SECONDS, "smoke", seconds)
    # The injected parameters are a cell of their own: [2].
    write(workspace, "00_tour", code(source))
    write(workspace, "01_datasets", code("print('never')"))
    with pytest.raises(UserError, match=f"Lesson 00_tour stopped in {sentence}") as caught:
        course.run("smoke", root=workspace)
    folder = workspace / "runs" / "notebooks" / "smoke"
    assert str(caught.value).endswith(str(folder / "00_tour.ipynb"))
    assert [path.name for path in folder.iterdir()] == ["00_tour.ipynb"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"profile": "huge"}, r"no profile called 'huge'\. Choose one of: smoke"),
        ({"profile": "smoke", "dataset": "dogs"}, r"no dataset called 'dogs'\. Choose one of: aviary"),
        ({"profile": "smoke", "only": ["00", "11"]}, r"no lesson called '11'\. Give the number .* 00_tour"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(workspace, arguments, sentence):
    write(workspace, "00_tour", code("1 / 0"))
    with pytest.raises(UserError, match=sentence):
        course.run(**arguments, root=workspace)
    assert not (workspace / "runs").exists()


def test_a_package_without_its_checkout_says_so(workspace):
    with pytest.raises(UserError, match=r"notebooks: there are no lessons here\. .*pip install -e"):
        course.run("smoke", root=workspace)


def test_clean_keeps_outputs_counts_and_ids_and_drops_the_noise():
    picture = v4.new_output("display_data", {"image/png": "aGk=", "text/plain": "<Figure>"})
    widget = v4.new_output("display_data", {course.WIDGET: {"model_id": "3f"}, "text/plain": "bar"})
    result = v4.new_output("execute_result", {"text/plain": "3"}, execution_count=2)
    said, warned = (v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr"))
    metadata = {"tags": [], "papermill": {"duration": 1.5}, "execution": {"iopub.status.busy": "now"}}
    plain = v4.new_code_cell("x", execution_count=2, outputs=[said, warned, widget, picture, result], metadata=metadata)
    timed = v4.new_code_cell("y", execution_count=3, outputs=[said, picture], metadata={"tags": ["timing"]})
    text = v4.new_markdown_cell("# z", metadata={"papermill": {}, "tags": []})
    notebook = v4.new_notebook(cells=[plain, timed, text])
    notebook.metadata.update(papermill={"version": "2"}, widgets={"state": {}}, language_info={"version": "3.11.7"})
    ids = [cell.id for cell in notebook.cells]

    cleaned = course.clean(notebook)

    assert cleaned.metadata == {"kernelspec": course.KERNEL, "language_info": {"name": "python"}}
    assert [cell.id for cell in cleaned.cells] == ids
    assert [cell.metadata for cell in cleaned.cells] == [{}, {"tags": ["timing"]}, {}]
    assert cleaned.cells[0].outputs == [said, picture, result] and cleaned.cells[0].execution_count == 2
    assert cleaned.cells[1].outputs == [picture] and cleaned.cells[1].execution_count == 3
    nbformat.validate(cleaned)


def test_clean_drops_the_time_that_a_training_has_left():
    left = "attngan-aviary-cpu-s0: about 41 minutes to go, by the first 20 steps\n"
    output = v4.new_output("stream", name="stdout", text=f"before\n{left}800 steps\n")
    cleaned = course.clean(v4.new_notebook(cells=[v4.new_code_cell("", outputs=[output])]))
    assert cleaned.cells[0].outputs[0].text == "before\n800 steps\n"


@pytest.mark.slow
def test_refresh_twice_gives_the_same_bytes_and_writes_only_what_is_named(workspace):
    leave = "import os, pathlib; home = pathlib.Path(os.environ['T2I_RUNS']); home.mkdir()"
    first = write(workspace, "01_first", code(f"{leave}; (home / 'left.txt').write_text(PROFILE)"))
    last = write(workspace, "03_last", code("1 / 0"))
    second = write(
        workspace,
        "02_second",
        code("import os; open(os.environ['T2I_RUNS'] + '/left.txt').read()"),
        code("import time; print(time.perf_counter())", ["timing"]),
        code("import sys; from tqdm.auto import tqdm; [print('noise', file=sys.stderr) for _ in tqdm(range(3))]; 1"),
    )
    answers = write(workspace, "solutions/02_second_solutions", code("import os; print(os.environ['T2I_PROFILE'])"))
    untouched = {path: path.read_bytes() for path in (first, last)}

    assert course.refresh(["02"], root=workspace) == [second, answers]

    cells = nbformat.read(second, as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4]
    assert [[o.data["text/plain"] for o in cell.outputs] for cell in cells] == [[], ["'smoke'"], [], ["1"]]
    assert printed(answers) == "smoke\n"
    assert all(path.read_bytes() == before for path, before in untouched.items())
    assert not (workspace / "runs" / "left.txt").exists()  # the reader's own workspace is left alone
    assert course.refresh(["02"], root=workspace) == []


def test_large_pictures_keep_256_colors_and_small_ones_all():
    def png(side):
        made = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        pixels = pixels // 8 + np.arange(0, 224, 224 / side).astype(np.uint8)[:, None, None]
        Image.fromarray(pixels).save(made, "PNG")
        return pixels, base64.b64encode(made.getvalue()).decode()

    def pixels_of(picture):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))

    small, large = png(20), png(200)
    outputs = [v4.new_output("display_data", {"image/png": picture}) for _, picture in (small, large)]
    notebook = course.clean(v4.new_notebook(cells=[v4.new_code_cell("", outputs=outputs)]))
    kept = [each.data["image/png"] for each in notebook.cells[0].outputs]
    assert kept[0] == small[1] and len(kept[1]) < len(large[1]) / 2
    assert np.abs(pixels_of(kept[1]).astype(int) - large[0]).mean() < 6  # of 255
    assert len(np.unique(pixels_of(kept[1]).reshape(-1, 3), axis=0)) <= 256
    assert course.clean(notebook).cells[0].outputs[1].data["image/png"] == kept[1]


def test_a_failing_refresh_leaves_the_committed_notebook_alone(workspace):
    notebook = write(workspace, "00_tour", code("print('half')"), code("1 / 0"))
    before = notebook.read_bytes()
    with pytest.raises(UserError, match=r"00_tour stopped in cell \[3\]: ZeroDivisionError"):
        course.refresh(root=workspace)
    assert notebook.read_bytes() == before


def test_a_refresh_under_an_unknown_profile_is_refused(workspace):
    write(workspace, "00_tour", code("print(1)"))
    with pytest.raises(UserError, match=r"no profile called 'huge'\. Choose one of: smoke"):
        course.refresh(profile="huge", root=workspace)
