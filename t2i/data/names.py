"""Images found by the names that a table gives them, however these are spelled."""

import difflib
import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from t2i.data.archives import is_hidden
from t2i.errors import UserError

_HINTS = 5  # names for which the closest ones are looked up: it takes long in a large folder
_MEND = "Put it back, or take it out of the table."


def _cleaned(name: str) -> str:
    """``name`` with slashes, and without what leads nowhere: blanks around its parts, "./", "a/../"."""
    parts = name.removeprefix("file://").replace("\\", "/").split("/")
    return posixpath.normpath("/".join(part.strip().strip("\ufeff\u200b") for part in parts))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", _cleaned(name))


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFC", _composed(name).casefold())


def _unescaped(name: str) -> str:
    """Without URL escapes, and with compatible characters alike (full-width letters, other blanks)."""
    return unicodedata.normalize("NFKC", _caseless(unquote(name)))


# From strict to loose: a name is what exactly one file has, in the first of these forms that any file has.
_FORMS: tuple[Callable[[str], str], ...] = (_cleaned, _composed, _caseless, _unescaped)


class Files:
    """The files below the folder ``images``. A file that is reached in several ways (other spellings, links) has one
    name: that by which it was found first."""

    def __init__(self, images: Path):
        self.images = images
        self._listings: dict[Path, set[str]] = {}
        self._found: dict[str, str] = {}
        self._first: dict[object, str] = {}
        self._forms: list[dict[str, list[str]]] = []
        self._hints = _HINTS

    def find(self, name: str) -> str:
        """The name, relative to the folder and with slashes, of the file that ``name`` means.

        A name that is no file's is compared in ever looser forms: separators and blanks, Unicode composition, case, URL
        escapes. Raises :class:`UserError` where no file or more than one fits, with the closest names.
        """
        if name not in self._found:
            found = self._tidy(self._exact(name) or self._like(name))
            status = os.stat(self.images / found)
            same = (status.st_dev, status.st_ino) if status.st_ino else (self.images / found).resolve()
            self._found[name] = self._first.setdefault(same, found)
        return self._found[name]

    def _exact(self, name: str) -> str | None:
        path = self.images / name
        try:
            if path.parent not in self._listings:
                there = os.scandir(path.parent) if path.parent.is_dir() else ()
                self._listings[path.parent] = {entry.name for entry in there if entry.is_file()}
        except (OSError, ValueError):  # a name that is too long, or holds a null
            return None
        if path.name not in self._listings[path.parent]:
            return None
        return (path.relative_to(self.images) if path.is_relative_to(self.images) else path).as_posix()

    def _tidy(self, found: str) -> str:
        """``found`` without "..", where that is the same file: behind a link to a folder it may be another."""
        tidy = posixpath.normpath(found)
        same = (
            ".." in found and os.path.lexists(self.images / tidy) and (self.images / tidy).samefile(self.images / found)
        )
        return tidy if same else found

    def _like(self, name: str) -> str:
        root = self.images.as_posix()
        for number, form in enumerate(_FORMS):
            asked = form(name)
            asked = asked.removeprefix(f"{form(root)}/")
            fitting = self._index(number).get(asked, [])
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                several = " and ".join(sorted(fitting)[:3])
                problem = f"The image {self.images / name} is missing, and {several} are both like it"
                raise UserError(problem, "Write the name exactly as that of the file.")
        raise UserError(f"The image {self.images / name} is missing", self._hint(name))

    def _index(self, number: int) -> dict[str, list[str]]:
        """The files by their names in form ``number``."""
        while len(self._forms) <= number:
            index = defaultdict(list)
            for file in self._all:
                index[_FORMS[len(self._forms)](file)].append(file)
            self._forms.append(index)
        return self._forms[number]

    @cached_property
    def _all(self) -> list[str]:
        found = []
        for folder, _, names in os.walk(self.images):
            place = Path(folder).relative_to(self.images)
            found += [(place / name).as_posix() for name in names if os.path.isfile(os.path.join(folder, name))]
        return sorted(file for file in found if not is_hidden(file))

    def _hint(self, name: str) -> str:
        """What to do about a name that is no file's."""
        if not self._all:
            return f"{self.images} holds no file at all: name the folder of the images with --images."
        if not self._hints:
            return _MEND
        self._hints -= 1
        asked = _unescaped(name)
        last = posixpath.basename(asked)
        close = [file for file in self._all if posixpath.basename(_unescaped(file)) == last][:3]
        stems = posixpath.splitext(last)[0]
        close = close or [f for f in self._all if posixpath.splitext(posixpath.basename(_unescaped(f)))[0] == stems][:3]
        close = close or difflib.get_close_matches(name, self._all[:20000], 3)
        there = "closest to it are" if close else f"of {len(self._all):,} files there, the first are"
        return f"Correct the name: {there} {', '.join(close or self._all[:3])}. Or put the file back."
