"""The course from the command line: run the lessons with papermill, and re-make the outputs that are committed."""

import base64
import contextlib
import io
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import papermill
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from t2i import config, data, locks, paths, plots
from t2i.errors import UserError, check_name
from t2i.progress import tqdm

# The longest that one cell may take.
CELL_SECONDS = {"smoke": 300, "cpu": 3600, "night": 24 * 3600, "gpu": 4 * 3600, "paper": None}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
TIME_LEFT = re.compile(r".*: about .* to go, by the first \d+ steps\n")  # of a long training, on one machine
LARGE = 60_000  # characters of a picture in a notebook


class ThisInterpreter(AsyncKernelManager):
    """Starts the interpreter that runs the course, whatever ``python3`` means to the Jupyter of this machine."""

    kernel_spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
    transport_encryption = "auto"  # without it newer kernels warn, at every lesson, that others could listen


def lessons(root: Path | None = None) -> list[Path]:
    """The notebooks of the course in order; ``root`` is the checkout.

    Raises :class:`UserError` where there are none, as in a package that was installed without its checkout.
    """
    folder = Path(root or paths.checkout()) / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        mend = "The lessons lie in the checkout: install the package from it with pip install -e ."
        raise UserError(f"{folder}: there are no lessons here", mend)
    return found


def solutions(root: Path | None = None) -> list[Path]:
    """The notebooks with the solutions of the exercises; each stands on its lesson alone."""
    return sorted((Path(root or paths.checkout()) / "notebooks" / "solutions").glob("[0-9][0-9]_*.ipynb"))


def run(
    profile: str,
    dataset: str = "aviary",
    seed: int | None = None,
    only: str | Sequence[str] | None = None,
    root: Path | None = None,
) -> list[Path]:
    """Execute the lessons in order and return the executed notebooks, in ``$T2I_RUNS/notebooks/<profile>/``.

    ``dataset`` is a name or a prepared folder, ``seed`` None leaves each lesson its own, ``only`` names lessons by
    number or name (``"00"``, ``"04_gan_cls"``), ``root`` is the checkout. The whole course ends with the comparison
    table. Raises :class:`UserError` at the first cell that fails, with the path of the notebook as far as it came.
    """
    settings = config.load("gan-cls", dataset, profile)  # unknown names are refused before the first lesson starts
    check_name("dataset", settings.dataset, data.DATASETS)
    parameters = {"PROFILE": profile, "DATASET": settings.root or dataset}
    if seed is not None:
        parameters["SEED"] = seed
    chosen = _select(lessons(root), only)
    folder = paths.runs_root() / "notebooks" / profile
    executed = []
    # Kernels start in the notebooks' folder, where a relative T2I_RUNS would name another place than it does here.
    place = _environment(T2I_RUNS=paths.runs_root(), T2I_DATA=paths.data_root())
    with locks.only_writer(folder), place:
        for notebook in tqdm(chosen, desc="course", unit="lesson"):
            start = time.perf_counter()
            executed.append(execute(notebook, folder / notebook.name, parameters, CELL_SECONDS[profile]))
            tqdm.write(f"{notebook.stem:<24}{time.perf_counter() - start:6.0f} s")
    if only is None:
        from t2i import tables

        print(f"\n{tables.summary(dataset, profile)}")
    print("\nExecuted notebooks:", *executed, sep="\n  ")
    return executed


def execute(notebook: Path, output: Path, parameters: dict | None = None, cell_seconds: int | None = None) -> Path:
    """Run ``notebook`` in its own folder with ``parameters`` injected, into ``output``, and show a bar of its cells.

    Raises :class:`UserError` with the lesson, the cell, its error in one line and the path of ``output``.
    """
    try:
        nbformat.read(notebook, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise UserError(f"{notebook} is no notebook ({_first_line(error)})", "Restore it: git checkout") from error
    try:
        with paths.writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            papermill.execute_notebook(
                notebook,
                output,
                parameters,
                kernel_name=KERNEL["name"],
                language=KERNEL["language"],
                cwd=notebook.parent,
                progress_bar={"desc": notebook.stem, "leave": False},
                execution_timeout=cell_seconds,
                kernel_manager_class=ThisInterpreter,
                coalesce_streams=True,  # one line of a progress bar, not its thousand updates
            )
    except (PapermillExecutionError, RuntimeError, TimeoutError) as error:  # a cell's error; a dead kernel; a slow cell
        problem = f"Lesson {notebook.stem} stopped in cell [{_last_started(output)}]: {_sentence(error, cell_seconds)}"
        raise UserError(problem, f"The notebook as far as it came, with the whole error: {output}") from error
    return output


def refresh(names: Sequence[str] | None = None, profile: str = "smoke", root: Path | None = None) -> list[Path]:
    """Re-make the committed outputs of lessons and solutions under ``profile``; return those that changed.

    The notebooks read their profile from ``T2I_PROFILE``. Everything runs in a fresh workspace. A lesson shows what
    earlier ones left, so they run too where ``names`` asks for a later one, but only what is named is written, and only
    once it has run to its end.
    """
    check_name("profile", profile, CELL_SECONDS)
    course, answers = lessons(root), solutions(root)
    named = _select([*course, *answers], names)
    last = max(notebook.name[:2] for notebook in named)
    needed = [n for n in course if n.name[:2] <= last] + [n for n in answers if n in named]
    folder, changed = paths.runs_root() / "notebooks" / "refresh", []
    with tempfile.TemporaryDirectory(prefix="t2i-") as scratch:
        workspace = {"T2I_RUNS": f"{scratch}/runs", "T2I_DATA": f"{scratch}/data", "TQDM_DISABLE": "1"}
        with _environment(**workspace, T2I_PROFILE=profile):
            for notebook in tqdm(needed, desc="refresh", unit="notebook"):
                executed = execute(notebook, folder / notebook.name, cell_seconds=CELL_SECONDS[profile])
                text = nbformat.writes(clean(nbformat.read(executed, as_version=4))) + "\n"
                if notebook in named and text != notebook.read_text(encoding="utf-8"):
                    paths.write_atomically(notebook, lambda path, text=text: path.write_text(text, encoding="utf-8"))
                    changed.append(notebook)
    return changed


def clean(notebook: NotebookNode) -> NotebookNode:
    """Drop from an executed notebook, in place, all that differs between two runs of the same code.

    Outputs, execution counts and ids stay: nbval fails on an output without a count. Times, versions, papermill's
    notes, widgets, stderr and the time that a training has left go; of cells tagged ``timing`` only pictures stay, and
    large PNGs keep 256 colors.
    """
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(name="python"))
    for cell in notebook.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        tags = cell.metadata.get("tags", [])
        if not tags:
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            for output in cell.outputs:
                if _picture(output):  # a panel that also has a still picture keeps the picture
                    output.data.pop(WIDGET, None)
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = _lighter(output.data["image/png"])
                if output.output_type == "stream":
                    output.text = TIME_LEFT.sub("", output.text)
            cell.outputs = [output for output in cell.outputs if _lasting(output, timing="timing" in tags)]
    return notebook


def _lighter(picture: str) -> str:
    """A PNG in base64, with a palette of 256 colors where it is large: what a small model draws is noisy, and noise is
    what PNG cannot pack."""
    if len(picture) < LARGE:
        return picture
    lighter = base64.b64encode(plots.with_palette(Image.open(io.BytesIO(base64.b64decode(picture))))).decode()
    return lighter if len(lighter) < len(picture) else picture


def _lasting(output: NotebookNode, timing: bool) -> bool:
    widget = WIDGET in output.get("data", {})
    return output.get("name") != "stderr" and not widget and (_picture(output) or not timing)


def _picture(output: NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _select(notebooks: list[Path], names: str | Sequence[str] | None) -> list[Path]:
    """The notebooks that ``names`` gives by number or by name, in the order of the course; all for None."""
    names = [names] if isinstance(names, str) else names
    if names is None:
        return notebooks
    known = {name for notebook in notebooks for name in (notebook.stem, notebook.stem[:2])}
    for name in names:
        if name not in known:
            stems = ", ".join(notebook.stem for notebook in notebooks)
            raise UserError(f"There is no lesson called {name!r}", f"Give the number or the name of one of: {stems}.")
    return [notebook for notebook in notebooks if {notebook.stem, notebook.stem[:2]} & set(names)]


def _last_started(output: Path) -> int:
    """The number, as Jupyter shows it, of the last cell that papermill started; a dead kernel has not numbered it."""
    code = [cell for cell in nbformat.read(output, as_version=4).cells if cell.cell_type == "code" and cell.source]
    return sum(bool(cell.metadata.get("papermill", {}).get("start_time")) for cell in code)


def _sentence(error: Exception, cell_seconds: int | None) -> str:
    """What went wrong, in one line: what a traceback ends with, without the colours and the lines that follow it."""
    if isinstance(error, TimeoutError):
        return f"it took longer than {cell_seconds} s"
    raised = f"{error.ename}: {error.evalue}" if isinstance(error, PapermillExecutionError) else str(error)
    return _first_line(raised)


def _first_line(error: Exception | str) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _environment(**variables):
    """Set environment variables, which kernels inherit, and put the old ones back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: str(value) for name, value in variables.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
