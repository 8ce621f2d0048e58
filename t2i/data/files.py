"""What the readers share: finding and reading the small text files of a data set."""

from pathlib import Path

from t2i.data.archives import is_hidden
from t2i.data.captions import read_lines
from t2i.errors import UserError

Problems = list[tuple[str, str]]


def require(path: Path, mend: str) -> Path:
    """``path``, or a :class:`UserError` that says it is missing."""
    if not path.exists():
        raise UserError(f"{path} is missing", mend)
    return path


def text_of(path: Path) -> str:
    """The text of a file; bytes that are no UTF-8 become U+FFFD, which CUB's captions hold anyway."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def lines_of(path: Path) -> list[str]:
    """The lines of a file that are not blank, whatever ends them."""
    return read_lines(text_of(path).replace("\r", "\n"))


def first_folder(root: Path, names: tuple[str, ...], mend: str) -> Path:
    """The first of the folders ``names`` in ``root`` that holds anything but hidden files, or a :class:`UserError` that
    names them."""
    for name in names:
        if (root / name).is_dir() and not all(is_hidden(entry.name) for entry in (root / name).iterdir()):
            return root / name
    raise UserError(f"{root} holds no captions (looked for the folders {', '.join(names)})", mend)


def captions_in(path: Path, limit: int, problems: Problems) -> tuple[str, ...]:
    """The first ``limit`` captions of a file with one on each line; none and a problem where there are none."""
    try:
        captions = tuple(read_lines(text_of(path))[:limit])
    except OSError as error:
        problems.append(
            (f"The caption file {path} cannot be read ({error.strerror})", "Put it back: a caption a line.")
        )
        return ()
    if not captions:
        problems.append((f"The caption file {path} is empty", "Write at least one caption into it."))
    return captions


def image_present(path: Path, listing: dict[Path, set[str]], problems: Problems) -> bool:
    """Whether ``path`` exists; a problem where it does not. ``listing`` keeps the folders that were looked into."""
    if path.parent not in listing:
        listing[path.parent] = {p.name for p in path.parent.iterdir()} if path.parent.is_dir() else set()
    if path.name in listing[path.parent]:
        return True
    problems.append((f"The image {path} is missing", "Put it back, or take it out of the index."))
    return False
