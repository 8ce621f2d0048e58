import pytest

from t2i.data import cub
from t2i.errors import UserError


def _problems(root):
    return cub.read(root).problems


def test_reads_the_layout_with_the_papers_test_classes(little_cub):
    index = cub.read(little_cub)
    first = index.examples[0]
    assert (index.name, len(index.examples), index.problems) == ("cub", 12, [])
    assert first.key == "001.Bird1/Bird1_0000"
    assert first.image == little_cub / "CUB_200_2011" / "images" / "001.Bird1" / "Bird1_0000.jpg"
    assert first.captions == ("a bird of kind 1", "this bird has number 1.")
    assert (first.class_id, first.box, first.split) == (1, (20.0, 10.0, 40.0, 50.0), "test")
    assert [example.class_id for example in index.split("train")] == [2, 2, 2, 3, 3, 3]
    assert index.class_names[3] == "003.Bird3"


def test_the_papers_split_has_fifty_test_classes():
    assert len(cub.TEST_CLASSES) == 50
    assert sum(sorted(cub.TEST_CLASSES)[:3]) == 1 + 4 + 6
    assert max(cub.TEST_CLASSES) == 197


def test_lists_of_file_names_decide_the_split(little_cub):
    keys = [example.key for example in cub.read(little_cub).examples]
    (little_cub / "train_filenames.txt").write_text("\r\n".join(keys[:9]))
    (little_cub / "test_filenames.txt").write_text("\n".join(keys[9:]))
    index = cub.read(little_cub)
    assert [example.key for example in index.split("train")] == keys[:9]
    assert len(index.split("test")) == 3


def test_every_fault_of_the_lists_is_a_problem(little_cub):
    keys = [example.key for example in cub.read(little_cub).examples]
    (little_cub / "train_filenames.txt").write_text("\n".join([*keys[:9], "no/such"]))
    (little_cub / "test_filenames.txt").write_text("\n".join([keys[0], *keys[10:]]))
    problems = "\n".join(what for what, _ in _problems(little_cub))
    assert "train_filenames.txt: no/such is not in images.txt" in problems
    assert f"test_filenames.txt: {keys[0]} is in both splits" in problems
    assert f"{keys[9]} is in neither train_filenames.txt nor test_filenames.txt" in problems
    assert len(_problems(little_cub)) == 3


def test_one_list_alone_is_refused(little_cub):
    (little_cub / "train_filenames.txt").write_text("")
    with pytest.raises(UserError, match=r"test_filenames\.txt is missing"):
        cub.read(little_cub)


@pytest.mark.parametrize("folder", ["text_c10", "CUB_200_2011/text"])
def test_captions_may_lie_elsewhere(little_cub, folder):
    (little_cub / "text").rename(little_cub / folder)
    assert len(cub.read(little_cub).examples) == 12


def test_only_the_first_ten_captions_count(little_cub):
    (little_cub / "text" / "001.Bird1" / "Bird1_0000.txt").write_text("\n".join(f"caption {n}" for n in range(14)))
    assert len(cub.read(little_cub).examples[0].captions) == 10


def test_missing_and_empty_files_are_all_collected(little_cub):
    examples = cub.read(little_cub).examples
    text = little_cub / "text" / "001.Bird1"
    (text / "Bird1_0000.txt").unlink()
    (text / "Bird1_0001.txt").write_text(" \n\n")
    examples[2].image.unlink()
    index = cub.read(little_cub)
    (gone, mend), (empty, _), (image, _) = index.problems
    assert gone == f"The caption file {text / 'Bird1_0000.txt'} cannot be read (No such file or directory)"
    assert "Put it back" in mend
    assert empty == f"The caption file {text / 'Bird1_0001.txt'} is empty"
    assert image == f"The image {examples[2].image} is missing"
    assert len(index.examples) == 9
    with pytest.raises(UserError, match="Bird1_0000"):
        index.checked()


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("bounding_boxes", "3 20.0 10.0 40.0 50.0", "3 20.0 10.0"),
        ("bounding_boxes", "3 20.0 10.0 40.0 50.0", "3 20.0 10.0 wide 50.0"),
        ("image_class_labels", "3 1", "three 1"),
        ("image_class_labels", "3 1", "3 x"),
        ("image_class_labels", "3 1", ""),
    ],
)
def test_a_malformed_line_is_named(little_cub, table, old, new):
    path = little_cub / "CUB_200_2011" / f"{table}.txt"
    path.write_text("\n".join(new if line == old else line for line in path.read_text().splitlines()))
    problems = "\n".join(what for what, _ in _problems(little_cub))
    assert f"{path}: image 3 (001.Bird1/Bird1_0002) has no sound line" in problems
    assert len(cub.read(little_cub).examples) == 11


@pytest.mark.parametrize("table", ["images", "bounding_boxes", "image_class_labels", "classes"])
def test_a_missing_index_file_is_refused_at_once(little_cub, table):
    (little_cub / "CUB_200_2011" / f"{table}.txt").unlink()
    with pytest.raises(UserError, match=rf"{table}\.txt is missing") as caught:
        cub.read(little_cub)
    assert f"python -m t2i data prepare --dataset cub --root {little_cub}" in caught.value.mend


def test_missing_captions_are_refused_at_once(little_cub):
    (little_cub / "text").rename(little_cub / "words")
    with pytest.raises(UserError, match="holds no captions") as caught:
        cub.read(little_cub)
    assert str(little_cub / "text") in caught.value.mend


def test_the_sample_photographs(samples):
    index = cub.read(samples("cub10")).checked()
    assert (len(index.split("train")), len(index.split("test"))) == (275, 268)
    assert {len(example.captions) for example in index.examples} == {10}
    assert {e.class_id for e in index.split("test")} == cub.TEST_CLASSES & set(range(1, 11))


def test_the_whole_index_of_cub(samples):
    root = samples("cub200_index_captions18")
    problems: list = []
    files = cub._table(root / "CUB_200_2011" / "images.txt", 1, problems)
    labels = cub._table(root / "CUB_200_2011" / "image_class_labels.txt", 1, problems)
    test = [number for number in files if int(labels[number][0]) in cub.TEST_CLASSES]
    assert problems == []
    assert (len(files) - len(test), len(test)) == (8855, 2933)
    listed = set((root / "test_filenames.txt").read_text().split())
    assert {files[number][0].removesuffix(".jpg") for number in test} == listed
