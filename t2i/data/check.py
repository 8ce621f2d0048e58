"""A data set looked through whole: what is in it, and everything that is wrong with it."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from t2i import config as configs
from t2i.data.capacity import capacity
from t2i.data.captions import tokenise
from t2i.data.images import bird_box, open_rgb
from t2i.data.index import Example, Index
from t2i.data.reading import by_characters, by_words
from t2i.errors import UserError
from t2i.progress import tqdm
from t2i.text.characters import nothing_read


@dataclass
class Report:
    """Counts of a data set, what it can carry, notes and problems; it is sound where ``problems`` is empty."""

    name: str
    root: Path
    images: int
    captions: int
    classes: int
    splits: dict[str, tuple[int, int]]  # (images, classes) by split
    carries: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def text(self) -> str:
        """The report as the command line prints it: counts, what the set can carry, notes, then one line per problem
        with its mend."""
        lines = [f"{self.name} at {self.root}", f"  {_counted(self.images, self.classes)}, {self.captions:,} captions"]
        lines += [f"  {split}: {_counted(*counts)}" for split, counts in self.splits.items()]
        lines += [f"  {sentence}" for sentence in self.carries]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  problem {n}: {what}. {mend}" for n, (what, mend) in enumerate(self.problems, start=1)]
        return "\n".join([*lines, f"  {len(self.problems) or 'no'} problem{'s' * (len(self.problems) != 1)}"])


def check(index: Index) -> Report:
    """Decode every image, try every box, read every caption of ``index``; problems met while reading it come first."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        found = pool.map(_look_at, index.examples)
        found = list(tqdm(found, total=len(index.examples), desc="checking", unit="image"))
    captions = [caption for example in index.examples for caption in example.captions]
    splits = {split: index.split(split) for split in ("train", "test")}
    empty = [(f"{index.root} has no {split} images", "Check the split.") for split, part in splits.items() if not part]
    mend = "Give it another: wrong pairs and every comparison with real images take two."
    empty += [(f"{index.root} has one {split} image", mend) for split, part in splits.items() if len(part) == 1]
    return Report(
        name=index.name,
        root=index.root,
        images=len(index.examples),
        captions=len(captions),
        classes=_classes(index.examples),
        splits={split: (len(part), _classes(part)) for split, part in splits.items()},
        carries=capacity(index),
        notes=[*index.notes, *_notes(index, captions, [flat for _, flat in found])],
        problems=[*index.problems, *(problem for problems, _ in found for problem in problems), *empty],
    )


def _notes(index: Index, captions: list[str], flat: list[bool]) -> list[str]:
    """What is true of a set and no fault, but better known before a training."""
    words = configs.paper("damsm", index.name).words
    read = {"characters": by_characters(captions), "words": by_words(captions, words)}
    notes = [f"for encoders of {kind}: {sentence}" for kind, sentences in read.items() for sentence in sentences]
    if one_colour := [example.key for example, same in zip(index.examples, flat, strict=True) if same]:
        notes.append(f"{len(one_colour):,} of {len(flat):,} images have one colour throughout, such as {one_colour[0]}")
    sizes = Counter(example.class_id for example in index.examples if example.class_id is not None)
    if single := [index.class_names.get(number, number) for number, images in sizes.items() if images == 1]:
        notes.append(f"{len(single):,} of {len(sizes):,} classes have one image, such as {single[0]}")
    return notes


def _look_at(example: Example) -> tuple[list[tuple[str, str]], bool]:
    """The problems of one image and its captions, and whether it has one colour throughout."""
    mend = "Write captions with words of English letters, or take the line out."
    problems = [
        (f"{example.key}: the caption {caption!r} holds no word{' that is read' if tokenise(caption) else ''}", mend)
        for caption in example.captions
        if not tokenise(caption) or nothing_read(caption.lower())
    ]
    flat = False
    try:
        image = open_rgb(example.image, example.as_shown)
        flat = all(low == high for low, high in image.getextrema())
        if example.box is not None:
            bird_box(example.box, *image.size)
    except UserError as error:
        named = error.problem if str(example.image) in error.problem else f"{example.image}: {error.problem}"
        problems.append((named, error.mend))
    return problems, flat


def _classes(examples: list[Example]) -> int:
    return len({example.class_id for example in examples} - {None})


def _counted(images: int, classes: int) -> str:
    return f"{images:,} images" + (f" of {classes} classes" if classes else "")
