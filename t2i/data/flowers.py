"""Oxford-102 Flowers with Reed's ten captions per image."""

import json
from pathlib import Path

from t2i.data.download import RELEASES, Captions, Download, File
from t2i.data.files import Problems, captions_in, first_folder, image_present, lines_of, require
from t2i.data.index import Example, Index
from t2i.errors import UserError

CAPTIONS = 10
CLASSES = 102
CLASS_LEVEL = "text_classlevel"
TEXT_FOLDERS = ("text_c10", "text", "captions", CLASS_LEVEL)
# The zero-shot split of the text-to-image papers: 82 classes to learn from (7,034 images), 20 unseen (1,155). It stands
# in Xian et al.'s att_splits.mat for FLO (CVPR 2017), whose test classes are 1 to 20; that Reed's own lists name the
# same is an inference, from the same numbers of classes and images.
UNSEEN_CLASSES = frozenset(range(1, 21))
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

    ``trainvalclasses.txt`` and ``testclasses.txt`` give the zero-shot split where they lie in ``root``,
    :data:`UNSEEN_CLASSES` otherwise. Captions of the folder ``text_classlevel`` fit the class of their image, and are
    certainly its own where ``paired.txt`` names it (``image_00001`` on each line). Blank caption lines are dropped.
    Faults of single files are collected in ``problems``; a missing index file raises :class:`UserError`.
    """
    root = Path(root)
    labels = _labels(require(root / "imagelabels.mat", _MEND.format(root=root)))
    require(root / "jpg", _MEND.format(root=root))
    text = first_folder(root, TEXT_FOLDERS, _CAPTIONS_MEND.format(root=root))
    unseen = _unseen(root)
    paired = _paired(root, len(labels)) if text.name == CLASS_LEVEL else None
    problems: Problems = []
    listing: dict[Path, set[str]] = {}
    examples = []
    for number, label in enumerate(labels, start=1):
        stem, folder = f"image_{number:05d}", f"class_{label:05d}"
        image = root / "jpg" / f"{stem}.jpg"
        captions = captions_in(text / folder / f"{stem}.txt", CAPTIONS, problems)
        if image_present(image, listing, problems) and captions:
            split = "test" if label in unseen else "train"
            own = paired is None or stem in paired
            examples.append(Example(f"{folder}/{stem}", image, captions, label, split, own_captions=own))
    notes = [] if paired is None else [_of_the_class(examples)]
    return Index("flowers", root, examples, _class_names(root), problems, notes)


def _paired(root: Path, images: int) -> frozenset[str]:
    """The images that ``paired.txt`` names; none where there is no such list."""
    path = root / "paired.txt"
    names = frozenset(lines_of(path)) if path.is_file() else frozenset()
    if strange := sorted(names - {f"image_{number:05d}" for number in range(1, images + 1)}):
        mend = "Name images on its lines, such as image_00001, or delete it: then no pair counts as certain."
        raise UserError(f"{path}: {strange[0]} is no image of this set", mend)
    return names


def _of_the_class(examples: list[Example]) -> str:
    """What the index says of captions that are known to fit a class alone."""
    own = [example for example in examples if example.own_captions]
    unseen = sum(example.split == "test" for example in own)
    but = f", but for {len(own):,} images whose captions are certainly their own ({unseen:,} of unseen classes)"
    return f"captions fit the class, not the single image{but if own else ''}: matching is measured on such pairs alone"


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
