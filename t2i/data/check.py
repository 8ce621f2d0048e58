"""A data set looked through whole: what is in it, and everything that is wrong with it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from t2i.data.captions import tokenise
from t2i.data.images import bird_box, open_rgb
from t2i.data.index import Example, Index
from t2i.errors import UserError


@dataclass
class Report:
    """Counts, notes and problems of a data set; it is sound where ``problems`` is empty."""

    name: str
    root: Path
    images: int
    captions: int
    classes: int
    splits: dict[str, tuple[int, int]]  # (images, classes) by split
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def text(self) -> str:
        """The report as the command line prints it: counts, notes, then one line per problem with its mend."""
        lines = [f"{self.name} at {self.root}", f"  {_counted(self.images, self.classes)}, {self.captions:,} captions"]
        lines += [f"  {split}: {_counted(*counts)}" for split, counts in self.splits.items()]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  problem {n}: {what}. {mend}" for n, (what, mend) in enumerate(self.problems, start=1)]
        return "\n".join([*lines, f"  {len(self.problems) or 'no'} problem{'s' * (len(self.problems) != 1)}"])


def check(index: Index) -> Report:
    """Decode every image, try every box, read every caption of ``index``; problems met while reading it come first."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        found = pool.map(_problems_of, index.examples)
        found = list(tqdm(found, total=len(index.examples), desc="checking", unit="image"))
    splits = {split: index.split(split) for split in ("train", "test")}
    empty = [(f"{index.root} has no {split} images", "Check the split.") for split, part in splits.items() if not part]
    return Report(
        name=index.name,
        root=index.root,
        images=len(index.examples),
        captions=sum(len(example.captions) for example in index.examples),
        classes=_classes(index.examples),
        splits={split: (len(part), _classes(part)) for split, part in splits.items()},
        notes=index.notes,
        problems=[*index.problems, *(problem for problems in found for problem in problems), *empty],
    )


def _problems_of(example: Example) -> list[tuple[str, str]]:
    mend = "Write captions with words, or take the line out."
    problems = [
        (f"{example.key}: the caption {caption!r} holds no word", mend)
        for caption in example.captions
        if not tokenise(caption)
    ]
    try:
        image = open_rgb(example.image, example.as_shown)
        if example.box is not None:
            bird_box(example.box, *image.size)
    except UserError as error:
        named = error.problem if str(example.image) in error.problem else f"{example.image}: {error.problem}"
        problems.append((named, error.mend))
    return problems


def _classes(examples: list[Example]) -> int:
    return len({example.class_id for example in examples} - {None})


def _counted(images: int, classes: int) -> str:
    return f"{images:,} images" + (f" of {classes} classes" if classes else "")
