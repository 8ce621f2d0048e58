"""The order of the rooms (CONTRIBUTING.md): what reads text and what draws pictures knows nothing of data sets."""

import ast

import pytest

from t2i import paths

FILES = sorted(file for room in ("text", "models") for file in (paths.checkout() / "t2i" / room).glob("*.py"))


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


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_text_and_models_never_import_data(file):
    seen = imported(ast.parse(file.read_text(encoding="utf-8")))
    assert {name for name in seen if f"{name}.".startswith("t2i.data.")} == set()
