"""A folder of one's own images with a CSV of captions."""

import csv
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from t2i import paths
from t2i.data.files import Problems, image_present, require
from t2i.data.index import Example, Index
from t2i.errors import UserError

COLUMNS = ("file", "caption", "class", "split")
NEEDED = COLUMNS[:2]
VERSION = 1


def prepare(images: Path, table: Path, out: Path) -> Index:
    """Write the prepared folder ``out`` (``dataset.csv``, ``dataset.json``) for ``images`` and the CSV ``table``.

    ``table`` has the columns file (below ``images``) and caption, one caption a row, several rows per file; class and
    split ("train" or "test") may be added. Without a split about one image in ten becomes a test image, by a hash of
    its name, so that the choice stays when images are added. The images stay where they are.
    """
    images, table, out = Path(images).resolve(), Path(table), Path(out)
    require(images, "Name the folder of your images.")
    rows = _rows(require(table, f"Name a CSV file with the columns {' and '.join(NEEDED)}."))
    if not rows:
        raise UserError(f"{table} holds no rows", "Write one row per caption: file,caption.")
    unseen = _test_files({row["file"] for row in rows})
    for row in rows:
        row["split"] = row["split"] or ("test" if row["file"] in unseen else "train")
    out.mkdir(parents=True, exist_ok=True)
    paths.write_atomically(out / "dataset.csv", lambda temporary: _write(temporary, rows))
    inside = images.is_relative_to(out.resolve())
    place = os.path.relpath(images, out.resolve()) if inside else str(images)
    paths.write_json(out / "dataset.json", {"version": VERSION, "images": place})
    return read(out)


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

    Classes are numbered from 1 in alphabetical order; images without one have ``class_id`` None.
    """
    root = Path(root)
    mend = f"Prepare it: python -m t2i data prepare --dataset folder --root {root} --images DIR --captions FILE.csv"
    images = root / _images(require(root / "dataset.json", mend), mend)
    table = require(root / "dataset.csv", mend)
    problems: Problems = []
    entries = _entries(table, problems)
    labels = sorted({entry.label for entry in entries.values()} - {""})
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    listing: dict[Path, set[str]] = {}
    examples = [
        Example(file, images / file, tuple(entry.captions), numbers.get(entry.label), entry.split)
        for file, entry in entries.items()
        if image_present(images / file, listing, problems) and entry.captions
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


def _entries(table: Path, problems: Problems) -> dict[str, _Entry]:
    """The rows of ``table`` by file; every fault is a problem that names the row."""
    entries: dict[str, _Entry] = {}
    for number, row in enumerate(_rows(table), start=2):
        where = f"{table}, row {number}"
        if not row["file"]:
            problems.append((f"{where} names no file", "Write the name of an image, or drop the row."))
            continue
        entry = entries.setdefault(row["file"], _Entry(row["class"], row["split"]))
        if row["split"] not in ("train", "test"):
            problems.append((f"{where}: the split of {row['file']} is {row['split']!r}", 'Write "train" or "test".'))
        elif (entry.label, entry.split) != (row["class"], row["split"]):
            problem = f"{where}: {row['file']} has another class or split than in its first row"
            problems.append((problem, "Give all rows of a file the same."))
        elif not row["caption"]:
            problems.append((f"{where}: the caption of {row['file']} is empty", "Write it, or drop the row."))
        else:
            entry.captions.append(row["caption"])
    return entries


def _rows(table: Path) -> list[dict[str, str]]:
    """The rows as dicts of ``COLUMNS``, stripped; what a row lacks is ""."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            found = [name.strip() for name in reader.fieldnames or ()]
            missing = [name for name in NEEDED if name not in found]
            if missing:
                problem = f"{table} has no column {' or '.join(missing)} (found: {', '.join(found) or 'none'})"
                raise UserError(problem, f"Its first row must name the columns {' and '.join(NEEDED)}.")
            reader.fieldnames = found
            return [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in reader]
    except OSError as error:
        raise UserError(f"{table} cannot be read ({error.strerror})", "Name a CSV file with --captions.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{table} is not UTF-8 ({error.reason} at byte {error.start})", "Save it as UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{table} is not a CSV file ({error})", "Save it as comma-separated values.") from None


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _test_files(files: set[str]) -> set[str]:
    """About a tenth of ``files``, and one at least where there are two."""
    order = {file: int.from_bytes(hashlib.sha256(file.encode()).digest()[:8]) for file in files}
    tenth = {file for file, number in order.items() if number % 10 == 0}
    return tenth or ({min(order, key=order.get)} if len(order) > 1 else set())
