"""Oxford-102 Flowers with Reed's ten captions per image."""

import json
from pathlib import Path

from t2i.data.download import RELEASES, Captions, Download, File
from t2i.data.files import Problems, captions_in, first_folder, image_present, lines_of, require
from t2i.data.index import Example, Index
from t2i.errors import UserError

CAPTIONS = 10
CLASSES = 102
TEXT_FOLDERS = ("text_c10", "text", "captions", "text_classlevel")
# Our own rule where Reed's lists are absent: every fifth class is unseen, 20 of 102 as in his split.
UNSEEN_CLASSES = frozenset(range(5, 101, 5))
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
DOWNLOAD = Download(
    files=(
        File("102flowers.tgz", (f"{_OXFORD}/102flowers.tgz",), 344_862_509, "52808999861908f626f3c1f4e79d11fa", "jpg"),
        File("imagelabels.mat", (f"{_OXFORD}/imagelabels.mat",), 502, "e0620be6f572b9609742df49c70aed4d"),
    ),
    captions=Captions(
        File("caption-data-flowers-v1.0.0.zip", (f"{RELEASES}/caption-data-flowers-v1.0.0.zip",)),
        folders=TEXT_FOLDERS,
        first="class_00001",
        drive="https://drive.google.com/open?id=0B0ywwgffWnLLcms2WWJQRFNSWXM&resourcekey=0-Av8zFbeDDvNcF1sSjDR32w",
    ),
)
_MEND = "Put it there, or run: python -m t2i data prepare --dataset flowers --root {root}"
_CAPTIONS_MEND = "Put Reed's captions at {root}/text_c10/class_00001/image_....txt; data/README.md says where they are."


def read(root: Path) -> Index:
    """The data set at ``root``: ``jpg/``, ``imagelabels.mat`` and a caption folder (``text_c10`` in Reed's archive).

    The zero-shot split is 82 classes to learn from and 20 unseen ones. Reed's own lists are read where they lie in
    ``root`` (``trainvalclasses.txt``, ``testclasses.txt``); without them every fifth class (5, 10, ..., 100) is unseen,
    which is a rule of this course and not Reed's split. Blank caption lines are dropped. Faults of single files are
    collected in ``problems``; a missing index file raises :class:`UserError`.
    """
    root = Path(root)
    labels = _labels(require(root / "imagelabels.mat", _MEND.format(root=root)))
    require(root / "jpg", _MEND.format(root=root))
    text = first_folder(root, TEXT_FOLDERS, _CAPTIONS_MEND.format(root=root))
    unseen = _unseen(root)
    problems: Problems = []
    listing: dict[Path, set[str]] = {}
    examples = []
    for number, label in enumerate(labels, start=1):
        stem, folder = f"image_{number:05d}", f"class_{label:05d}"
        image = root / "jpg" / f"{stem}.jpg"
        captions = captions_in(text / folder / f"{stem}.txt", CAPTIONS, problems)
        if image_present(image, listing, problems) and captions:
            split = "test" if label in unseen else "train"
            examples.append(Example(f"{folder}/{stem}", image, captions, label, split))
    by_class = text.name == "text_classlevel"
    notes = ["captions fit the class, not the single image: do not report image-text matching"] if by_class else []
    return Index("flowers", root, examples, _class_names(root), problems, notes)


def _labels(path: Path) -> list[int]:
    from scipy.io import loadmat  # slow to import, and for this set alone

    try:
        return [int(label) for label in loadmat(path)["labels"].ravel()]
    except Exception as error:  # a broken .mat file trips scipy's parser anywhere
        problem = f"{path} cannot be read ({type(error).__name__}: {error})"
        raise UserError(problem, "Download imagelabels.mat again.") from None


def _unseen(root: Path) -> frozenset[int]:
    """The class numbers of the test split."""
    learned, tested = root / "trainvalclasses.txt", root / "testclasses.txt"
    if not learned.is_file() and not tested.is_file():
        return UNSEEN_CLASSES
    mend = "The split needs both lists; put it back, or delete the other."
    both = [set(map(_class_number, lines_of(require(path, mend)))) for path in (learned, tested)]
    if None in both[0] | both[1] or both[0] & both[1] or len(both[0] | both[1]) != CLASSES:
        problem = f"{learned} and {tested.name} do not split the {CLASSES} classes"
        raise UserError(problem, "Each of class_00001 to class_00102 belongs on a line of one of them.")
    return frozenset(both[1])


def _class_number(line: str) -> int | None:
    number = line.removeprefix("class_").split(".")[0]
    return int(number) if number.isdecimal() else None


def _class_names(root: Path) -> dict[int, str]:
    """The flowers' names from ``cat_to_name.json`` where that well-known list lies in ``root``; else class_00001 ..."""
    names = root / "cat_to_name.json"
    try:
        known = json.loads(names.read_text(encoding="utf-8")) if names.is_file() else {}
    except ValueError as error:
        raise UserError(f"{names} is not JSON ({error})", "Delete it, or fetch it again.") from error
    return {number: known.get(str(number), f"class_{number:05d}") for number in range(1, CLASSES + 1)}
