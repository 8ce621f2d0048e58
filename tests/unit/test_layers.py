"""The order of the rooms (CONTRIBUTING.md): imports point one way, and an import changes nothing elsewhere."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from t2i import paths

PACKAGE = paths.checkout() / "t2i"
# A room may import what stands in the rows above it, never its own row or one below.
ORDER = (
    {"errors"},
    {"paths"},
    {"contents", "formats", "locks", "own", "progress"},
    {"config", "device", "checkpoint", "log", "provenance", "weights"},
    {"lite0"},
    {"text"},
    {"data"},
    {"aviarynet", "kept", "losses", "pickles", "official_layout", "official_names"},
    {"models", "galleries"},
    {"training", "official_kinds"},
    {"metrics", "published"},
    {"results", "plots", "tiles"},
    {"tables", "ladder"},
    {"compare", "diagrams", "notebook", "official", "course", "doctor", "options", "parallel"},
    {"recording", "released"},
    {"panel", "workbook"},
    {"commands"},
    {"__init__", "__main__"},
)
ROW = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> set[str]:
    """The modules that are imported under ``node`` when it runs; what only a type checker reads is left out."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        if isinstance(child, ast.ImportFrom):
            found |= {f"{child.module}.{alias.name}" for alias in child.names}
        found |= imported(child)
    return found


def rooms_of(file: Path) -> set[str]:
    """The rooms of the package that ``file`` imports, its own left out."""
    parts = (name.split(".") for name in imported(ast.parse(file.read_text(encoding="utf-8"))))
    return {part[1] for part in parts if part[0] == "t2i" and part[1] in ROW} - {room_of(file)}


def test_every_room_has_its_place():
    assert {room_of(file) for file in FILES} <= ROW.keys()
    assert sum(map(len, ORDER)) == len(ROW)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE).with_suffix("")))
def test_imports_point_one_way(file):
    below = {room for room in rooms_of(file) if ROW[room] >= ROW[room_of(file)]}
    assert not below, f"{room_of(file)} may not know {', '.join(sorted(below))}"


@pytest.mark.parametrize("file", [f for f in FILES if room_of(f) in ("text", "models")], ids=lambda file: file.stem)
def test_text_and_models_never_import_data(file):
    assert "data" not in rooms_of(file)


PROGRAM = """
import json, sys
import t2i.plots, t2i.training
loaded = sorted(sys.modules)
import matplotlib
before = dict(matplotlib.rcParams)
import t2i.notebook, t2i.panel
changed = [name for name, value in matplotlib.rcParams.items() if before[name] != value]
print(json.dumps({"loaded": loaded, "changed": changed}))
"""


@pytest.fixture(scope="module")
def imports():
    """What a fresh Python has loaded after the first imports, and what the others have changed of matplotlib."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_an_import_loads_nothing_that_it_does_not_need(imports):
    assert {"t2i.plots", "t2i.training"} <= set(imports["loaded"])
    unneeded = {
        "seaborn",
        "matplotlib",
        "pandas",
        "scipy",
        "lightning_fabric",
        "torch_fidelity",
        "IPython",
        "ipywidgets",
    }
    assert unneeded & set(imports["loaded"]) == set()


@pytest.mark.slow
def test_an_import_changes_no_setting_of_matplotlib(imports):
    assert imports["changed"] == []
