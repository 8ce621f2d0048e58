"""Lays out the site's sources for Sphinx, ``python docs/build.py FOLDER``: notebooks and texts as committed, and what
is generated: a page for each module, the gallery, the leaderboard."""

import importlib
import pkgutil
import re
import shutil
import sys
from pathlib import Path

import pictures
import standings

import t2i
from t2i import course, paths, released

CHECKOUT, HERE = paths.checkout(), Path(__file__).parent
LINKED = re.compile(r"[\w./-]+\.(?:md|png|jpe?g|webp|svg)")
PICTURES = re.compile(r"!\[[^\]]*\]\(\.\./([^)]*)\)")  # of the checkout, in a lesson's text
OWN = "docs/own_pictures"
MODULE = "# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def toctree(pages: list[str], caption: str = "", hidden: bool = True) -> str:
    options = [f":caption: {caption}"] if caption else []
    options += [":hidden:"] if hidden else [":maxdepth: 1"]
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def copy(names: list[str], source: Path) -> None:
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, source / name)


def inside(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def api(source: Path) -> None:
    """A page for each module but the command line; a package's page lists its modules."""
    found = [
        m.name for m in pkgutil.walk_packages(t2i.__path__, "t2i.") if not m.name.endswith(("__main__", "commands"))
    ]
    rows = ["| module | what it is |", "| --- | --- |"]
    for name in ["t2i", *found]:
        module = importlib.import_module(name)
        children = [other for other in found if other.rpartition(".")[0] == name and name != "t2i"]
        text = MODULE.format(name=name) + (toctree(children, hidden=False) if children else "")
        write(source / "api" / f"{name}.md", text)
        first = re.split(r"(?<=\.)\s", " ".join((module.__doc__ or "").split()))[0]
        rows.append(f"| [{name}]({name}.md) | {first} |")
    top = [name for name in ["t2i", *found] if name.count(".") < 2]
    text = (HERE / "api.md").read_text(encoding="utf-8") + "\n" + "\n".join(rows) + "\n" + toctree(top)
    write(source / "api" / "index.md", text)


def lessons(source: Path) -> None:
    notebooks, solutions = course.lessons(), course.solutions()
    copy([inside(file) for file in (*notebooks, *solutions)], source)
    copy(sorted({name for file in notebooks for name in PICTURES.findall(file.read_text(encoding="utf-8"))}), source)
    text = (HERE / "solutions.md").read_text(encoding="utf-8")
    write(source / "notebooks/solutions/index.md", text + toctree([file.stem for file in solutions], hidden=False))


def front(source: Path) -> None:
    """README.md is the start, with the navigation of everything, and what it names comes along. Its pictures from
    elsewhere (badges) are left out."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\[?!\[[^\]]*\]\(https?:[^)]*\)(\]\([^)]*\))?", "", text)
    named = [*dict.fromkeys(["CHANGELOG.md", *LINKED.findall(text)])]
    named = [name for name in named if name != "README.md" and (CHECKOUT / name).is_file()]
    copy(named, source)
    cards = [f"data/released/{name}/README.md" for name in released.NAMES]
    copy(cards, source)
    shown = LINKED.findall((CHECKOUT / f"{OWN}.md").read_text(encoding="utf-8"))
    copy([f"docs/{name}" for name in shown if (HERE / name).is_file()], source)
    elsewhere = {*cards, f"{OWN}.md"}
    parts = {
        "Lessons": [*(f"notebooks/{file.stem}" for file in course.lessons()), "notebooks/solutions/index"],
        "Your own pictures": [OWN],
        "Results": ["gallery", "leaderboard"],
        "Released models": [card.removesuffix(".md") for card in cards],
        "Reference": ["api/index", *(n.removesuffix(".md") for n in named if n.endswith(".md") and n not in elsewhere)],
    }
    text = text.replace("](notebooks/solutions)", "](notebooks/solutions/index.md)")
    write(source / "index.md", text + "".join(toctree(pages, caption) for caption, pages in parts.items()))


def build(source: Path) -> None:
    shutil.rmtree(source, ignore_errors=True)
    for name, made in {"gallery": pictures.gallery, "leaderboard": standings.leaderboard}.items():
        write(source / f"{name}.md", (HERE / f"{name}.md").read_text(encoding="utf-8") + made())
    lessons(source)
    api(source)
    front(source)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
