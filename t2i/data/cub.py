"""CUB-200-2011 with Reed's ten captions per image, and everything that is laid out like it (Aviary)."""

from pathlib import Path

from t2i.data.download import RELEASES, Captions, Download, File
from t2i.data.files import Problems, captions_in, first_folder, image_present, lines_of, require
from t2i.data.index import Example, Index

CAPTIONS = 10
TEXT_FOLDERS = ("text", "text_c10", "CUB_200_2011/text", "CUB_200_2011/text_c10", "CUB_200_2011/captions")
# The class-disjoint split of the text-to-image papers: 150 classes to learn from (8,855 images), 50 unseen (2,933).
# fmt: off
TEST_CLASSES = frozenset({
    1, 4, 6, 8, 9, 14, 23, 29, 31, 33, 34, 35, 36, 37, 38, 43, 49, 51, 53, 66, 72, 79, 83, 84, 86, 91, 95, 96, 98, 101,
    102, 103, 112, 114, 119, 121, 130, 135, 138, 147, 156, 163, 165, 166, 180, 183, 185, 186, 187, 197,
})
# fmt: on
DOWNLOAD = Download(
    files=(
        File(
            "CUB_200_2011.tgz",
            ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            size=1_150_585_339,
            md5="97eceeb196236b17998738112f37df78",
            gives="CUB_200_2011",
        ),
    ),
    captions=Captions(
        File("caption-data-cub-v1.0.0.zip", (f"{RELEASES}/caption-data-cub-v1.0.0.zip",)),
        folders=TEXT_FOLDERS,
        first="001.Black_footed_Albatross",
        drive="https://drive.google.com/open?id=0B0ywwgffWnLLZW9uVHNjb2JmNlE",
    ),
)
_MEND = "Unpack CUB_200_2011.tgz there, or run: python -m t2i data prepare --dataset cub --root {root}"
_CAPTIONS_MEND = "Put Reed's captions at {root}/text/<class>/<image>.txt; data/README.md says where they come from."


def read(root: Path) -> Index:
    """The data set at ``root``: ``CUB_200_2011/`` as unpacked from Caltech's archive, captions in ``text/``.

    ``train_filenames.txt`` and ``test_filenames.txt`` give the split where they exist, ``TEST_CLASSES`` otherwise;
    Caltech's own train_test_split.txt is not class-disjoint and not used. Faults of single files are collected in
    ``problems``; a missing index file raises :class:`UserError`.
    """
    root = Path(root)
    base = root / "CUB_200_2011"
    problems: Problems = []
    files, boxes, classes, names = (
        _table(require(base / f"{table}.txt", _MEND.format(root=root)), columns, problems)
        for table, columns in (("images", 1), ("bounding_boxes", 4), ("image_class_labels", 1), ("classes", 1))
    )
    text = first_folder(root, TEXT_FOLDERS, _CAPTIONS_MEND.format(root=root))
    class_of = {number: _integer(values[0]) for number, values in classes.items()}
    keys = {number: values[0].rpartition(".")[0] for number, values in files.items()}
    splits = _splits(root, keys, class_of, problems)
    listing: dict[Path, set[str]] = {}
    examples = []
    for number, key in keys.items():
        image = base / "images" / files[number][0]
        box, label = _numbers(boxes.get(number)), class_of.get(number)
        if box is None or label is None:
            table = "image_class_labels" if label is None else "bounding_boxes"
            problems.append((f"{base / table}.txt: image {number} ({key}) has no sound line", "Restore the file."))
            continue
        captions = captions_in(text / f"{key}.txt", CAPTIONS, problems)
        if image_present(image, listing, problems) and captions and key in splits:
            examples.append(Example(key, image, captions, label, splits[key], box))
    return Index("cub", root, examples, {number: values[0] for number, values in names.items()}, problems)


def _table(path: Path, columns: int, problems: Problems) -> dict[int, list[str]]:
    """Lines of "id value ..." by id; a line of another form is a problem."""
    rows: dict[int, list[str]] = {}
    for line in lines_of(path):
        number, *values = line.split()
        if number.isdecimal() and len(values) == columns:
            rows[int(number)] = values
        else:
            problems.append((f"{path}: the line {line!r} is malformed", f"It must be an id and {columns} value(s)."))
    return rows


def _splits(root: Path, keys: dict[int, str], class_of: dict[int, int | None], problems: Problems) -> dict[str, str]:
    """``"train"`` or ``"test"`` for every key."""
    lists = {split: root / f"{split}_filenames.txt" for split in ("train", "test")}
    if not any(path.is_file() for path in lists.values()):
        return {key: "test" if class_of.get(number) in TEST_CLASSES else "train" for number, key in keys.items()}
    splits: dict[str, str] = {}
    known = set(keys.values())
    for split, path in lists.items():
        for key in lines_of(require(path, "The split needs both lists; put it back, or delete the other.")):
            if key not in known:
                problems.append((f"{path}: {key} is not in images.txt", "Take the line out, or restore images.txt."))
            elif splits.setdefault(key, split) != split:
                problems.append((f"{path}: {key} is in both splits", "Take it out of one of the lists."))
    for key in keys.values():
        if key not in splits:
            problems.append(
                (f"{key} is in neither train_filenames.txt nor test_filenames.txt", "Add it to one of them.")
            )
    return splits


def _integer(value: str) -> int | None:
    return int(value) if value.isdecimal() else None


def _numbers(values: list[str] | None) -> tuple[float, ...] | None:
    try:
        return None if values is None else tuple(float(value) for value in values)
    except ValueError:
        return None
