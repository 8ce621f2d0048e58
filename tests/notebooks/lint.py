"""The anatomy of a lesson as rules: each takes a :class:`Notebook` and yields one sentence per violation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

NAMES = (
    *("00_tour", "01_datasets", "02_char_cnn_rnn", "03_damsm", "04_gan_cls", "05_stackgan", "06_attngan"),
    *("07_dmgan", "08_hybrids", "09_msmt_gan", "10_leaderboard"),
)
WITHOUT_TRAINING = ("00_tour", "01_datasets", "10_leaderboard")
SECTIONS = (
    *("The idea", "The data", "The pieces", "The whole model", "The losses by hand", "Train", "See", "Measure"),
    *("Instability and deviations", "Exercises", "Summary"),
)
ALWAYS = ("The idea", "Exercises", "Summary")
PARAMETERS = {"PROFILE", "DATASET", "SEED", "RESUME"}
PROFILE = 'PROFILE = os.environ.get("T2I_PROFILE", "cpu")'  # a reader's profile, and the one that tests ask for
CELLS, CODE_LINES, FUNCTION_LINES, PROSE_RATIO, CHECKED, EXERCISES = (40, 70), 20, 8, (1.0, 3.0), 3, 3
KILOBYTES = 1200

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(?:\d+[.:]?\s+)?(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ABSOLUTE = re.compile(r"(?<![\w./<~$}])/[A-Za-z_][\w.-]*/[\w.-]+|(?<!\w)~/\w|\b[A-Z]:\\\w")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
ENCODED = re.compile(r"base64,[A-Za-z0-9+/=]+")  # a picture inside HTML


class Notebook:
    """A notebook, where it lies, and the parts of it that rules ask for."""

    def __init__(self, path: Path):
        self.path = path
        self.cells = nbformat.read(path, as_version=4).cells

    def prose(self) -> list[str]:
        """The markdown cells, without code fences: a ``# comment`` in one is no heading."""
        return [FENCE.sub("", cell.source) for cell in self.cells if cell.cell_type == "markdown"]

    def headings(self) -> list[str]:
        return [heading for text in self.prose() for heading in HEADING.findall(text)]

    def code(self) -> list[tuple[str, nbformat.NotebookNode]]:
        """(what to call it, cell) for every code cell that is not empty."""
        numbered = enumerate(self.cells)
        return [(f"cell {i}", cell) for i, cell in numbered if cell.cell_type == "code" and cell.source.strip()]

    def tagged(self, tag: str) -> list[tuple[str, nbformat.NotebookNode]]:
        return [(where, cell) for where, cell in self.code() if tag in cell.metadata.get("tags", [])]


def text_of(output: nbformat.NotebookNode) -> str:
    """Everything in an output that a reader reads, pictures left out."""
    data = output.get("data", {})
    return output.get("text", "") + "\n".join(str(v) for kind, v in data.items() if not kind.startswith("image/"))


def small_enough(notebook: Notebook) -> Iterator[str]:
    size = notebook.path.stat().st_size / 1000
    if size > KILOBYTES:
        yield f"the file has {size:.0f} KB, more than {KILOBYTES}"


def number_of_cells(notebook: Notebook) -> Iterator[str]:
    if not CELLS[0] <= len(notebook.cells) <= CELLS[1]:
        yield f"{len(notebook.cells)} cells, not {CELLS[0]} to {CELLS[1]}"


def prose_to_code(notebook: Notebook) -> Iterator[str]:
    ratio = len(notebook.prose()) / max(1, len(notebook.code()))
    if not PROSE_RATIO[0] <= ratio <= PROSE_RATIO[1]:
        yield f"{ratio:.2f} markdown cells to one of code, not {PROSE_RATIO[0]} to {PROSE_RATIO[1]}"


def small_cells(notebook: Notebook) -> Iterator[str]:
    for where, cell in notebook.code():
        lines = len(cell.source.splitlines())
        if lines > CODE_LINES:
            yield f"{where} has {lines} lines, more than {CODE_LINES}"


def plain_python(notebook: Notebook) -> Iterator[str]:
    """No shell, no magics, no classes, no long functions: the package computes."""
    for where, cell in notebook.code():
        if re.search(r"^\s*[!%]", cell.source, re.MULTILINE):
            yield f"{where} has a shell command or a magic"
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ClassDef):
                yield f"{where} defines the class {node.name}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{where}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def parameters_cell(notebook: Notebook) -> Iterator[str]:
    tagged = notebook.tagged("parameters")
    if len(tagged) != 1:
        yield f"{len(tagged)} cells tagged parameters, not one"
        return
    lines = [node for node in ast.parse(tagged[0][1].source).body if ast.unparse(node) != "import os"]
    profile = ast.unparse(ast.parse(PROFILE))
    if profile not in map(ast.unparse, lines):
        yield f"the profile is not read as {PROFILE}"
        return
    try:
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in lines if ast.unparse(node) != profile}
    except (AttributeError, ValueError):
        yield "the parameters cell holds something other than names set to literals"
        return
    if values.keys() | {"PROFILE"} != PARAMETERS:
        yield f"the parameters are {', '.join(sorted({'PROFILE', *values}))}, not {', '.join(sorted(PARAMETERS))}"


def title_card(notebook: Notebook) -> Iterator[str]:
    """The first cell has a title and leads to the neighbours that the lesson has, and to the index."""
    card = notebook.cells[0]
    if card.cell_type != "markdown" or not card.source.startswith("# "):
        yield "the first cell is no title card: markdown that starts with '# '"
        return
    wanted = {"Previous": notebook.path.stem != NAMES[0], "Index": True, "Next": notebook.path.stem != NAMES[-1]}
    for label, needed in wanted.items():
        if needed and not re.search(rf"\b{label}\b[^\n]*?\]\([^)\s]+\)", card.source):
            yield f"the title card has no link {label}"


def links(notebook: Notebook) -> Iterator[str]:
    """Relative links lead to a file, or to a lesson that is planned."""
    for target in LINK.findall("\n".join(notebook.prose())):
        place = target.split("#")[0]
        if not place or re.match(r"[a-z]+:", place):
            continue
        planned = Path(place).parent == Path(".") and Path(place).stem in NAMES
        if not planned and not (notebook.path.parent / place).exists():
            yield f"the link {target} leads nowhere"


def sections(notebook: Notebook) -> Iterator[str]:
    wanted = ALWAYS if notebook.path.stem in WITHOUT_TRAINING else SECTIONS
    found = [heading for heading in notebook.headings() if heading in SECTIONS]
    for name in wanted:
        if name not in found:
            yield f"the section '{name}' is missing"
    if found != [name for name in SECTIONS if name in found]:
        yield f"the sections stand in the order {', '.join(found)}"


def checked_cells(notebook: Notebook) -> Iterator[str]:
    """nbval compares what these cells print; without outputs it would compare nothing, and pictures it cannot."""
    checked = notebook.tagged("nbval-check-output")
    if len(checked) < CHECKED:
        yield f"{len(checked)} cells are tagged nbval-check-output, fewer than {CHECKED}"
    for where, cell in checked:
        if not cell.outputs:
            yield f"{where} is tagged nbval-check-output and has no output"
        for output in cell.outputs:
            if not all(kind.startswith("text/") for kind in output.get("data", {})):
                yield f"{where} is tagged nbval-check-output and shows more than text"


def executed_in_order(notebook: Notebook) -> Iterator[str]:
    """An output without an execution count fails in nbval; counts 1, 2, 3… show one run from top to bottom."""
    counts = [cell.execution_count for _, cell in notebook.code()]
    if counts != list(range(1, len(counts) + 1)):
        yield "the code cells were not run once from top to bottom: make refresh"


def clean_outputs(notebook: Notebook) -> Iterator[str]:
    for where, cell in notebook.code():
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{where} shows an error or a warning"
            for pattern, what in ((ABSOLUTE, "an absolute path"), (ADDRESS, "a memory address")):
                if found := pattern.search(ENCODED.sub("", text_of(output))):
                    yield f"{where} shows {what}: {found.group()}"


def ending(notebook: Notebook) -> Iterator[str]:
    """Run All ends with a last sheet, the time and what comes next, all of which one code cell shows."""
    last = notebook.cells[-1]
    if last.cell_type != "code" or not re.search(r"^closing\(PROFILE, ", last.source, re.MULTILINE):
        yield "the last cell does not end with closing(PROFILE, ...)"
    elif last.source.count("\n") < 1:
        yield "the last cell shows no sheet"


def exercises(notebook: Notebook) -> Iterator[str]:
    """Three exercises, each with a solution under the same heading in the notebook of solutions."""
    wanted = {f"Exercise {number}" for number in range(1, EXERCISES + 1)}
    asked = set(re.findall(r"\bExercise \d+", "\n".join(notebook.prose())))
    if asked != wanted:
        yield f"it asks {', '.join(sorted(asked)) or 'no exercise'}, not Exercise 1 to {EXERCISES}"
    answers = notebook.path.parent / "solutions" / f"{notebook.path.stem}_solutions.ipynb"
    if not answers.exists():
        yield f"{answers.name} is missing"
        return
    solved = {found.group() for h in Notebook(answers).headings() if (found := re.match(r"Exercise \d+", h))}
    if missing := wanted - solved:
        yield f"{answers.name} has no heading for {', '.join(sorted(missing))}"


CODE_RULES = (small_enough, small_cells, plain_python, links, executed_in_order, clean_outputs)
LESSON_RULES = (
    *CODE_RULES,
    *(number_of_cells, prose_to_code, parameters_cell, title_card, sections, checked_cells, exercises, ending),
)
SOLUTION_RULES = (*CODE_RULES, parameters_cell)
