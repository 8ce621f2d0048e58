"""A folder of one's own images with a CSV of captions."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from t2i import paths
from t2i.data import table as tables
from t2i.data.files import Problems, require
from t2i.data.index import Example, Index
from t2i.data.names import Files
from t2i.data.table import NEEDED
from t2i.errors import UserError

VERSION = 1


def prepare(images: Path, table: Path, out: Path) -> Index:
    """Write the prepared folder ``out`` (``dataset.csv``, ``dataset.json``) for ``images`` and the CSV ``table``.

    ``table`` has the columns file (below ``images``) and caption, one caption a row, several rows per file; class and
    split ("train" or "test") may be added, and further columns are kept. Without a split about one image in ten becomes
    a test image, by a hash of its name, so that the choice stays when images are added. The images stay where they are.
    Raises :class:`UserError` where ``out`` holds files of these names that were not written here, or changed since.
    """
    images, table, out = Path(images).resolve(), Path(table), Path(out)
    require(images, "Name the folder of your images.")
    if not images.is_dir():
        raise UserError(f"{images} is no folder", "Name the folder of your images.")
    found = tables.read(require(table, f"Name a CSV file with the columns {' and '.join(NEEDED)}."))
    if not found.rows:
        raise UserError(f"{table} holds no rows", "Write one row per caption: file,caption.")
    known = _written_before(out)
    _name_and_split(found.rows, Files(images))
    out.mkdir(parents=True, exist_ok=True)
    inside = images.is_relative_to(out.resolve())
    place = os.path.relpath(images, out.resolve()) if inside else str(images)

    def write(temporary: Path) -> None:
        tables.write(temporary, found)
        # Before the table has its name: whatever stops this here, both files are known for our own the next time.
        written = list(dict.fromkeys([*known, _digest(temporary)]))
        paths.write_json(out / "dataset.json", {"version": VERSION, "images": place, "written": written})

    paths.write_atomically(out / "dataset.csv", write)
    return read(out)


def _name_and_split(rows: list[dict[str, str]], files: Files) -> None:
    """Give ``rows`` the names that their files have, where they are there, and a split where there is none."""
    for row in rows:
        row["split"] = row["split"].lower()
        try:
            row["file"] = files.find(row["file"]) if row["file"] else ""
        except UserError:
            continue  # a problem that read() names
    unseen = _test_files({row["file"] for row in rows})
    for row in rows:
        row["split"] = row["split"] or ("test" if row["file"] in unseen else "train")


def _written_before(out: Path) -> list[str]:
    """The digests of the tables that :func:`prepare` wrote to ``out``; :class:`UserError` where files of its names are
    not its own."""
    record, table = out / "dataset.json", out / "dataset.csv"
    mend = "Name another folder with --root, or move the file away."
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(f"{out} is no folder", "Name another one with --root.")
    known: list[str] = []
    if os.path.lexists(record):
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
            known = before.get("written", [])
            own = set(before) <= {"version", "images", "written"} and {"version", "images"} <= set(before)
        except (OSError, ValueError, AttributeError):
            own = False
        if not own:
            raise UserError(f"{record} was not written by data prepare, and stays as it is", mend)
    if os.path.lexists(table) and not (table.is_file() and _digest(table) in known):
        what = "was changed since it was prepared" if known else "was not written by data prepare"
        raise UserError(f"{table} {what}, and stays as it is", mend)
    return known


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def prepare_from(root: Path, images: Path | None = None, captions: Path | None = None) -> None:
    """:func:`prepare`, as the command line asks for it."""
    if images is None or captions is None:
        raise UserError("A folder of your own needs --images and --captions", "See: python -m t2i data --help")
    prepare(images, captions, root)


@dataclass
class _Entry:
    """The rows of one file, gathered."""

    label: str
    split: str
    captions: list[str] = field(default_factory=list)


def read(root: Path) -> Index:
    """The data set that :func:`prepare` wrote at ``root``; a file's faults are collected in ``problems``.

    Classes are numbered from 1 in alphabetical order; images without one have ``class_id`` None. The images are shown
    as a viewer shows them (:func:`t2i.data.photos.as_shown`).
    """
    root = Path(root)
    mend = f"Prepare it: python -m t2i data prepare --dataset folder --root {root} --images DIR --captions FILE.csv"
    images = root / _images(require(root / "dataset.json", mend), mend)
    table = require(root / "dataset.csv", mend)
    problems: Problems = []
    entries = _entries(table, Files(images), problems)
    labels = sorted({entry.label for entry in entries.values()} - {""})
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    examples = [
        Example(file, images / file, tuple(entry.captions), numbers.get(entry.label), entry.split, as_shown=True)
        for file, entry in entries.items()
        if entry.captions
    ]
    return Index("folder", root, examples, {number: label for label, number in numbers.items()}, problems)


def _images(settings: Path, mend: str) -> str:
    """The folder of the images, relative to the prepared folder or absolute."""
    try:
        record = json.loads(settings.read_text(encoding="utf-8"))
        images, version = str(record["images"]), record["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{settings} cannot be read ({type(error).__name__}: {error})", mend) from None
    if version != VERSION:
        raise UserError(f"{settings} has version {version}; this program reads version {VERSION}", mend)
    return images


def _entries(table: Path, files: Files, problems: Problems) -> dict[str, _Entry]:
    """The rows of ``table`` by the file that they name; every fault is a problem that names the row."""
    entries: dict[str, _Entry] = {}
    missing: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(tables.read(table).rows, start=2):
        where = f"{table}, row {number}"
        if not row["file"]:
            problems.append((f"{where} names no file", "Write the name of an image, or drop the row."))
            continue
        try:
            name = files.find(row["file"])
        except UserError as error:
            missing.setdefault(row["file"], (error.problem, error.mend))
            name = row["file"]
        entry = entries.setdefault(name, _Entry(row["class"], row["split"]))
        if row["split"] not in ("train", "test"):
            problems.append((f"{where}: the split of {row['file']} is {row['split']!r}", 'Write "train" or "test".'))
        elif (entry.label, entry.split) != (row["class"], row["split"]):
            problem = f"{where}: {row['file']} has another class or split than in its first row"
            problems.append((problem, "Give all rows of a file the same."))
        elif not row["caption"]:
            problems.append((f"{where}: the caption of {row['file']} is empty", "Write it, or drop the row."))
        else:
            entry.captions.append(row["caption"])
    problems += missing.values()
    return {name: entry for name, entry in entries.items() if name not in missing}


def _test_files(files: set[str]) -> set[str]:
    """About a tenth of ``files``, but two where there are four, which is what a comparison with real images takes, and
    one of two or three."""
    numbers = {file: int.from_bytes(hashlib.sha256(file.encode()).digest()[:8]) for file in files}
    order = sorted(numbers, key=lambda file: (numbers[file] % 10 != 0, numbers[file]))
    tenth = sum(number % 10 == 0 for number in numbers.values())
    return set(order[: max(tenth, min(2, len(files) // 2))])
