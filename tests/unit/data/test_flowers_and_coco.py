import json

import numpy as np
import pytest
from scipy.io import savemat

from t2i.data import coco, flowers
from t2i.errors import UserError


def test_flowers_without_lists_have_the_split_of_the_papers(little_flowers):
    assert set(range(1, 21)) == flowers.UNSEEN_CLASSES
    assert {example.split for example in flowers.read(little_flowers).checked().examples} == {"test"}  # 4, 5 and 6
    savemat(little_flowers / "imagelabels.mat", {"labels": np.array([[4, 20, 21, 102]])})
    for number, label in enumerate((4, 20, 21, 102), start=1):
        text = little_flowers / "text_c10" / f"class_{label:05d}" / f"image_{number:05d}.txt"
        text.parent.mkdir(exist_ok=True)
        text.write_text(f"flower {number}\n\nof kind {label}\n")
    index = flowers.read(little_flowers).checked()
    assert index.name == "flowers"
    assert [(example.class_id, example.split) for example in index.examples] == [
        (4, "test"), (20, "test"), (21, "train"), (102, "train"),
    ]  # fmt: skip
    assert index.examples[0].captions == ("flower 1", "of kind 4")
    assert index.examples[0].key == "class_00004/image_00001"


def test_captions_of_a_class_are_an_image_s_own_where_the_list_says_so(little_flowers):
    assert all(example.own_captions for example in flowers.read(little_flowers).examples)
    (little_flowers / "text_c10").rename(little_flowers / "text_classlevel")
    index = flowers.read(little_flowers)
    assert not any(example.own_captions for example in index.examples)
    assert index.notes == ["captions fit the class, not the single image: matching is measured on such pairs alone"]
    (little_flowers / "paired.txt").write_text("image_00002\r\nimage_00006\r\n")
    index = flowers.read(little_flowers)
    assert [example.key[-1] for example in index.examples if example.own_captions] == ["2", "6"]
    assert "but for 2 images whose captions are certainly their own (2 of unseen classes)" in index.notes[0]
    (little_flowers / "paired.txt").write_text("image_00002\nimage_00007\n")
    with pytest.raises(UserError, match=r"paired\.txt: image_00007 is no image of this set"):
        flowers.read(little_flowers)


def test_flowers_with_reeds_split(little_flowers):
    (little_flowers / "testclasses.txt").write_text("class_00004\r\nclass_00006\r\n")
    learned = [f"class_{number:05d}" for number in range(1, 103) if number not in (4, 6)]
    (little_flowers / "trainvalclasses.txt").write_text("\n".join(learned))
    assert [example.class_id for example in flowers.read(little_flowers).split("test")] == [4, 6, 4, 6]


@pytest.mark.parametrize("lines", ["class_00004", "class_00004\nbirds", ""])
def test_flowers_with_a_broken_split(little_flowers, lines):
    (little_flowers / "testclasses.txt").write_text("class_00004")
    (little_flowers / "trainvalclasses.txt").write_text(lines)
    with pytest.raises(UserError, match=r"trainvalclasses\.txt and testclasses\.txt do not split the 102 classes"):
        flowers.read(little_flowers)


def test_flowers_with_half_a_split(little_flowers):
    (little_flowers / "testclasses.txt").write_text("class_00004")
    with pytest.raises(UserError, match=r"trainvalclasses\.txt is missing"):
        flowers.read(little_flowers)


def test_flowers_collects_problems(little_flowers):
    (little_flowers / "text_c10" / "class_00005" / "image_00002.txt").unlink()
    (little_flowers / "jpg" / "image_00006.jpg").unlink()
    index = flowers.read(little_flowers)
    assert len(index.examples) == 4
    assert "class_00005/image_00002.txt" in index.problems[0][0]
    assert "image_00006.jpg is missing" in index.problems[1][0]


@pytest.mark.parametrize("content", [b"", b"no matrix", b"MATLAB 5.0 MAT-file" + b"\0" * 200])
def test_flowers_with_broken_labels(little_flowers, content):
    (little_flowers / "imagelabels.mat").write_bytes(content)
    with pytest.raises(UserError, match=r"imagelabels\.mat cannot be read") as caught:
        flowers.read(little_flowers)
    assert "Download imagelabels.mat again" in caught.value.mend


def test_flowers_without_captions_or_labels(little_flowers):
    (little_flowers / "text_c10").rename(little_flowers / "words")
    with pytest.raises(UserError, match="holds no captions"):
        flowers.read(little_flowers)
    (little_flowers / "imagelabels.mat").unlink()
    with pytest.raises(UserError, match=r"imagelabels\.mat is missing"):
        flowers.read(little_flowers)


def test_the_small_sample_of_flowers(samples):
    index = flowers.read(samples("flowers102_64")).checked()
    assert len(index.examples) == 8189
    assert sum(len(example.captions) for example in index.examples) == 81_890 - 13  # 13 lines are blank
    assert index.class_names[1] == "pink primrose"
    assert not any(example.own_captions for example in index.examples)


def test_the_sample_of_flowers_has_the_papers_split_with_the_lists_and_without(samples, tmp_path):
    root = samples("flowers102")
    for name in ("jpg", "imagelabels.mat", "text_classlevel"):
        (tmp_path / name).symlink_to(root / name)
    listed, unlisted = (flowers.read(place).checked() for place in (root, tmp_path))
    for index in (listed, unlisted):
        assert [len(index.split(split)) for split in ("train", "test")] == [7034, 1155]
        classes = [{example.class_id for example in index.split(split)} for split in ("train", "test")]
        assert list(map(len, classes)) == [82, 20]
    assert [e.split for e in listed.examples] == [e.split for e in unlisted.examples]
    certain = [example for example in listed.examples if example.own_captions]
    assert len(certain) == 653 and sum(example.split == "test" for example in certain) == 92


@pytest.fixture
def little_coco(tmp_path, draw_picture):
    """Two train images and one val image of the 2017 edition; image 1 has seven captions."""
    root = tmp_path / "coco"
    for part, numbers in (("train", (1, 2)), ("val", (3,))):
        images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in numbers]
        annotations = [
            {"image_id": number, "caption": f" image {number}, caption {k}\n"}
            for k in range(7)
            for number in numbers
            if number == 1 or k < 5
        ]
        _annotate(root, part, 2017, {"images": images, "annotations": annotations})
        for number in numbers:
            draw_picture(root / f"{part}2017" / f"{number:012d}.jpg", 30, 20)
    return root


def _annotate(root, part, year, record):
    path = root / "annotations" / f"captions_{part}{year}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    return path


def test_coco(little_coco):
    index = coco.read(little_coco).checked()
    assert [(example.key, example.split) for example in index.examples] == [
        ("train2017/000000000001", "train"),
        ("train2017/000000000002", "train"),
        ("val2017/000000000003", "test"),
    ]
    assert index.examples[0].captions == tuple(f"image 1, caption {k}" for k in range(5))
    assert index.examples[0].class_id is None


def test_coco_prefers_the_papers_edition(little_coco, draw_picture):
    for part, name in (("train", "COCO_train2014_000000000009.jpg"), ("val", "COCO_val2014_000000000010.jpg")):
        record = {"images": [{"id": 9, "file_name": name}], "annotations": [{"image_id": 9, "caption": "a cat"}]}
        _annotate(little_coco, part, 2014, record)
        draw_picture(little_coco / f"{part}2014" / name, 30, 20)
    keys = [example.key for example in coco.read(little_coco).checked().examples]
    assert keys == ["train2014/COCO_train2014_000000000009", "val2014/COCO_val2014_000000000010"]


def test_coco_collects_problems(little_coco):
    (little_coco / "train2017" / "000000000001.jpg").unlink()
    record = {"images": [{"id": 3, "file_name": "000000000003.jpg"}], "annotations": [{"image_id": 3, "caption": " "}]}
    path = _annotate(little_coco, "val", 2017, record)
    index = coco.read(little_coco)
    assert [example.key for example in index.examples] == ["train2017/000000000002"]
    assert "000000000001.jpg is missing" in index.problems[0][0]
    assert index.problems[1][0] == f"{path}: the image 000000000003.jpg has no caption"


@pytest.mark.parametrize("record", ["{", "[]", '{"images": [{}], "annotations": []}', '{"images": []}'])
def test_coco_with_a_broken_annotation_file(little_coco, record):
    _annotate(little_coco, "train", 2017, record)
    with pytest.raises(UserError, match=r"captions_train2017\.json is not a file of COCO captions") as caught:
        coco.read(little_coco)
    assert "annotations_trainval2014.zip" in caught.value.mend


def test_coco_without_annotations(tmp_path):
    with pytest.raises(UserError, match=r"captions_train2014\.json is missing") as caught:
        coco.read(tmp_path)
    assert f"--dataset coco --root {tmp_path}" in caught.value.mend


def test_the_sample_of_coco(samples):
    index = coco.read(samples("coco_small")).checked()
    assert (len(index.split("train")), len(index.split("test"))) == (80, 267)
    assert {len(example.captions) for example in index.examples} == {5}
