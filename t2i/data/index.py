"""What every data set becomes: an index of examples, with the problems that were met while reading it."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from t2i.data.captions import tokenise
from t2i.errors import UserError


@dataclass(frozen=True)
class Example:
    """One image with its captions.

    ``box`` is (x, y, width, height) in pixels or None; ``class_id`` is None where a data set has no classes (COCO),
    and every image then counts as a class of its own. ``as_shown``: the picture is a user's own, to be read as a viewer
    shows it. ``own_captions``: they are certainly this image's; otherwise they may be those of another of its class.
    """

    key: str
    image: Path
    captions: tuple[str, ...]
    class_id: int | None
    split: str
    box: tuple[float, float, float, float] | None = None
    as_shown: bool = False
    own_captions: bool = True


@dataclass
class Index:
    """All examples of a data set in file order; ``problems`` holds (what is wrong, how to mend it) pairs, ``notes``
    what is true of the set and no fault."""

    name: str
    root: Path
    examples: list[Example]
    class_names: dict[int, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def split(self, name: str) -> list[Example]:
        """The examples of ``"train"`` or ``"test"``."""
        return [example for example in self.examples if example.split == name]

    def with_words(self) -> "Index":
        """This index without the captions that hold no word, for models that read words; :class:`UserError` for an
        image whose captions are all such, and for any such caption in a folder of one's own."""
        examples = []
        for example in self.examples:
            captions = tuple(caption for caption in example.captions if tokenise(caption))
            if example.as_shown and len(captions) < len(example.captions):
                empty = next(caption for caption in example.captions if not tokenise(caption))
                mend = "Write it in English letters, or take it out of the set."
                raise UserError(f"{example.key}: the caption {empty!r} holds no word that is read", mend)
            if not captions:
                raise UserError(
                    f"{example.key}: no caption holds a word", "Write one, or take the image out of the set."
                )
            examples.append(replace(example, captions=captions))
        return replace(self, examples=examples)

    def digest(self) -> str:
        """Twelve hex digits over keys, captions, classes, splits, boxes and file sizes: what a run was trained on,
        wherever it lies."""
        digest = hashlib.sha256()
        for e in self.examples:
            size = e.image.stat().st_size if e.image.exists() else 0
            digest.update(repr((e.key, e.captions, e.class_id, e.split, e.box, size)).encode())
        return digest.hexdigest()[:12]

    def checked(self) -> "Index":
        """This index, or a :class:`UserError` that names the first problem and how many there are."""
        if self.problems:
            what, mend = self.problems[0]
            others = len(self.problems) - 1
            more = (
                f" ({others} more: python -m t2i data check --dataset {self.name} --root {self.root})" if others else ""
            )
            raise UserError(what, mend + more)
        if not self.examples:
            raise UserError(
                f"{self.root}: no image with captions was found", "Check that --root names the right folder."
            )
        return self
