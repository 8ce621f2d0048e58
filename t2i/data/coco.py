"""MS-COCO with its captions, in the official layout; the papers use the 2014 edition."""

import json
from collections import defaultdict
from pathlib import Path

from t2i.data.download import Download, File
from t2i.data.files import Problems, image_present, require
from t2i.data.index import Example, Index
from t2i.errors import UserError

CAPTIONS = 5


def _file(name: str, size: int, md5: str, gives: str) -> File:
    place = f"images.cocodataset.org/{'annotations' if name.startswith('annotations') else 'zips'}/{name}"
    # The branded host has no certificate of its own name; the bucket behind it has.
    return File(name, (f"https://s3.amazonaws.com/{place}", f"http://{place}"), size, md5, gives)


DOWNLOAD = Download(
    (
        _file("annotations_trainval2014.zip", 252_872_794, "0a379cfc70b0e71301e0f377548639bd", "annotations"),
        _file("train2014.zip", 13_510_573_713, "0da8c0bd3d6becc4dcb32757491aca88", "train2014"),
        _file("val2014.zip", 6_645_013_297, "a3d79f5ed8d289b7a7554ce06a5782b3", "val2014"),
    )
)
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
