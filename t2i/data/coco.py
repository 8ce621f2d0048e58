"""MS-COCO with its captions, in the official layout; the papers use the 2014 edition."""

import json
from collections import defaultdict
from pathlib import Path

from t2i.data.files import Problems, image_present, require
from t2i.data.index import Example, Index
from t2i.errors import UserError

CAPTIONS = 5
_MEND = "Put it there, or run: python -m t2i data prepare --dataset coco --root {root}"


def read(root: Path) -> Index:
    """The data set at ``root``: ``annotations/captions_{train,val}2014.json`` and ``{train,val}2014/``, or 2017.

    COCO's train images are our "train", its val images our "test", as in the papers; there are no classes. Each image
    keeps its first five captions (some have six or seven). Faults of single images are collected in ``problems``; a
    missing or broken annotation file raises :class:`UserError`.
    """
    root = Path(root)
    annotations = root / "annotations"
    year = next((year for year in (2014, 2017) if (annotations / f"captions_train{year}.json").is_file()), 2014)
    problems: Problems = []
    examples = []
    for part, split in (("train", "train"), ("val", "test")):
        path = require(annotations / f"captions_{part}{year}.json", _MEND.format(root=root))
        examples += _examples(path, root / f"{part}{year}", split, problems)
    return Index("coco", root, examples, {}, problems)


def _examples(path: Path, folder: Path, split: str, problems: Problems) -> list[Example]:
    captions: dict[int, list[str]] = defaultdict(list)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = [(image["id"], image["file_name"]) for image in record["images"]]
        for annotation in record["annotations"]:
            captions[annotation["image_id"]].append(annotation["caption"].strip())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{path} is not a file of COCO captions ({type(error).__name__}: {error})"
        raise UserError(problem, "Unpack it again from annotations_trainval2014.zip.") from None
    listing: dict[Path, set[str]] = {}
    examples = []
    for number, name in files:
        image = folder / name
        written = tuple(filter(None, captions[number]))[:CAPTIONS]
        if not written:
            problems.append((f"{path}: the image {name} has no caption", "Restore the official file."))
        if image_present(image, listing, problems) and written:
            examples.append(Example(f"{folder.name}/{image.stem}", image, written, None, split))
    return examples
