import csv

import pytest
from PIL import Image

from t2i import config as configs
from t2i import data, tables
from t2i.data import DATASETS, DataSet, cub, folder
from t2i.data.check import check
from t2i.errors import UserError


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(UserError, match="no data set called 'birds'") as caught:
        data.read("birds", tmp_path)
    assert ", ".join(data.DATASETS) in caught.value.mend


@pytest.mark.parametrize("name", ["cub", "flowers", "coco", "folder"])
def test_an_absent_root_is_named_with_the_command_that_makes_it(tmp_path, name):
    root = tmp_path / "absent"
    with pytest.raises(UserError, match=f"There is no folder {root}") as caught:
        data.read(name, root)
    assert f"python -m t2i data prepare --dataset {name} --root {root}" in caught.value.mend


def test_a_data_set_lies_in_its_own_place_unless_a_root_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    assert data.root(configs.load("gan-cls", "cub", "smoke")) == tmp_path / "cub"
    large, small = (configs.load(model, "aviary", "gpu") for model in ("stackgan-stage2", "stackgan-res"))
    assert (data.root(large), data.root(small)) == (tmp_path / "aviary-256", tmp_path / "aviary")
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "moved"))
    assert data.root(small) == tmp_path / "moved" / "aviary"
    assert data.root(configs.load("gan-cls", "cub", root=tmp_path / "mine")) == tmp_path / "mine"


def test_a_new_data_set_is_one_entry(little_cub, tmp_path, monkeypatch):
    """Its place, its name in the index, its command where it is absent, its settings; nothing else knows the names."""
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    monkeypatch.setitem(DATASETS, "ducks", DataSet(cub.read))
    config = configs.load("attngan", "ducks", "cpu")
    assert config.batch_size == configs.load("attngan", "cub", "cpu").batch_size
    with pytest.raises(UserError, match=f"no folder {tmp_path / 'ducks'}. Put the data set there"):
        data.load(config)
    little_cub.rename(tmp_path / "ducks")
    index = data.load(config)
    assert (index.name, len(index.examples), config.name) == ("ducks", 12, "attngan-ducks-cpu-s0")
    assert (
        configs.from_dict(config.to_dict()) == config
        and tables.summary("ducks") == "There are no results on ducks yet."
    )
    with pytest.raises(UserError, match="nothing to download or to draw for ducks"):
        data.prepare("ducks", tmp_path / "ducks")


def test_an_option_of_another_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--dataset cub has no use for --size\. Leave it out\."):
        data.prepare("cub", tmp_path, size=64)
    with pytest.raises(UserError, match="needs --images and --captions"):
        data.prepare("folder", tmp_path, images=tmp_path)


def test_a_sound_data_set(little_cub):
    report = check(data.read("cub", little_cub))
    assert (report.images, report.captions, report.classes) == (12, 24, 4)
    assert report.splits == {"train": (6, 2), "test": (6, 2)}
    assert report.problems == []
    assert report.text() == (
        f"cub at {little_cub}\n  12 images of 4 classes, 24 captions\n  train: 6 images of 2 classes\n"
        "  test: 6 images of 2 classes\n  wrong pairs: among 2 train classes\n"
        "  FID and KID: against 6 real images, which is few: below 2,000 they depend on the number\n"
        "  R-precision: guessing gives about 0.14\n  zero-shot accuracy: among 2 classes, guessing gives 0.5\n"
        "  lessons: all of them\n  no problems"
    )


def test_a_greyscale_picture_is_no_problem(little_cub):
    image = data.read("cub", little_cub).examples[0].image
    Image.open(image).convert("L").save(image)
    assert check(data.read("cub", little_cub)).problems == []


def test_every_problem_is_named_at_once(little_cub):
    examples = data.read("cub", little_cub).examples
    examples[0].image.unlink()
    examples[1].image.write_bytes(examples[1].image.read_bytes()[:300])
    text = little_cub / "text" / "001.Bird1"
    (text / "Bird1_0002.txt").write_text("...\na bird\n")
    (little_cub / "text" / "002.Bird2" / "Bird2_0000.txt").write_text("")
    boxes = little_cub / "CUB_200_2011" / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace("\n5 20.0", "\n5 80.0"))
    report = check(data.read("cub", little_cub))
    lines = report.text().splitlines()
    expected = [
        f"The image {examples[0].image} is missing",
        "Bird2_0000.txt is empty",
        f"{examples[1].image} cannot be read as an image",
        "001.Bird1/Bird1_0002: the caption '...' holds no word",
        f"{examples[4].image}: The box (80, 10, 40, 50) lies outside its image of 100 × 80 px",
    ]
    assert len(report.problems) == 5
    assert lines[-1] == "  5 problems"
    for number, what in enumerate(expected, start=1):
        line = next(line for line in lines if f"problem {number}:" in line)
        assert what in line
        assert line.endswith(report.problems[number - 1][1])  # the mend


def test_an_empty_split_is_a_problem(little_cub):
    keys = [example.key for example in data.read("cub", little_cub).examples]
    (little_cub / "train_filenames.txt").write_text("\n".join(keys))
    (little_cub / "test_filenames.txt").write_text("")
    assert check(data.read("cub", little_cub)).problems == [(f"{little_cub} has no test images", "Check the split.")]


@pytest.mark.parametrize(
    ("name", "folder", "counts"),
    [
        ("cub", "cub10", (543, 5430, 10)),
        ("coco", "coco_small", (347, 1735, 0)),
        ("flowers", "flowers102_64", (8189, 81877, 102)),
    ],
)
def test_the_samples_are_sound(samples, name, folder, counts):
    report = check(data.read(name, samples(folder)))
    assert (report.images, report.captions, report.classes) == counts
    assert report.problems == []
    assert ("note: captions fit the class" in report.text()) == (name == "flowers")


@pytest.fixture
def boats(tmp_path, draw_picture):
    """``boats(rows)`` is the report on a folder of one's own with these (caption, class, split)."""

    def report(rows):
        lines = []
        for number, row in enumerate(rows):
            draw_picture(tmp_path / "photos" / f"{number}.png", 20, 20, seed=number)
            lines.append([f"{number}.png", *row])
        with open(tmp_path / "captions.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "caption", "class", "split")[: len(lines[0])], *lines])
        return check(folder.prepare(tmp_path / "photos", tmp_path / "captions.csv", tmp_path / "boats"))

    return report


def test_what_the_encoders_do_not_read_is_counted(boats):
    captions = ["a boat " * 30, "a boat " * 30, "ein Boot für mich", "a boat 🚤", "a small boat"]
    report = boats([(caption, "boat", "train" if k < 3 else "test") for k, caption in enumerate(captions)])
    assert report.problems == []
    assert report.notes == [
        "for encoders of characters: 2 of 5 captions are longer than the 201 characters that are read",
        "for encoders of characters: 2 of 5 captions are written with characters that are read as blanks (ü, 🚤)",
        "for encoders of words: 2 of 5 captions are longer than 18 words, of which a batch takes so many at random",
        "for encoders of words: 2 of 5 captions are written with words or signs that are not read so (für, 🚤)",
    ]


@pytest.mark.parametrize(
    "caption", ["一只红色的鸟", "🚤🚤🚤", "\u200b\u200b", "лодка", "קטן", "一" * 201 + " a boat", "..."]
)
def test_a_caption_of_which_nothing_is_read_is_a_problem_and_stops_a_training(boats, caption):
    report = boats([(text, "boat", split) for text in ("a boat", caption) for split in ("train", "test")])
    assert [what.split(":")[0] for what, _ in report.problems] == ["2.png", "3.png"]
    assert all(repr(caption) in what and "holds no word" in what for what, _ in report.problems)
    index = data.read("folder", report.root)
    if "boat" not in caption:
        with pytest.raises(UserError, match=r"2\.png: the caption .* holds no word"):
            index.with_words()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["train"] * 11 + ["test"], "FID and KID: not to be had, because it takes two test images (here: 1)"),
        (["train"] * 11 + ["test"], "R-precision: not to be had"),
        (["train"] * 10 + ["test"] * 2, "R-precision: guessing gives about 0.5"),
        (["train"] + ["test"] * 11, "wrong pairs: not to be had, because it takes two train images (here: 1)"),
        (["train"] * 6 + ["test"] * 6, "wrong pairs: of other images"),
        (["train"] * 6 + ["test"] * 6, "zero-shot accuracy: among 6 images, guessing gives 0.17"),
        (["train"] * 6 + ["test"] * 5, "lessons: made for 12 images and more (here: 11)"),
        (["train"] * 6 + ["test"] * 6, "lessons: all of them"),
    ],
)
def test_what_a_set_can_carry_is_said_before_a_training(boats, rows, says):
    report = boats([(f"boat number {k}", "", split) for k, split in enumerate(rows)])
    assert any(sentence.startswith(says) for sentence in report.carries) and f"\n  {says}" in report.text()
    alone = [split for split in ("train", "test") if rows.count(split) == 1]
    assert [what for what, _ in report.problems] == [f"{report.root} has one {split} image" for split in alone]


def test_one_class_is_said_to_carry_no_figure_of_classes(boats):
    report = boats([(f"boat number {k}", "boat", "train" if k < 6 else "test") for k in range(12)])
    assert report.problems == []
    assert [sentence.split(",")[0] for sentence in report.carries] == [
        "wrong pairs: of other images",
        "FID and KID: against 6 real images",
        "R-precision: not to be had",
        "zero-shot accuracy: not to be had",
        "lessons: all of them",
    ]


def test_classes_of_one_image_and_pictures_of_one_colour_are_noted(boats, tmp_path):
    rows = [(f"boat {k}", f"kind {min(k, 3)}", "train" if k < 6 else "test") for k in range(12)]
    boats(rows)
    Image.new("RGBA", (20, 20), (255, 255, 255, 0)).save(tmp_path / "photos" / "4.png")
    notes = check(data.read("folder", tmp_path / "boats")).notes
    assert notes == [
        "1 of 12 images have one colour throughout, such as 4.png",
        "3 of 4 classes have one image, such as kind 0",
    ]
