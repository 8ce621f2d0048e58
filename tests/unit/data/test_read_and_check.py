import pytest
from PIL import Image

from t2i import config as configs
from t2i import data, results
from t2i.data import DATASETS, DataSet, cub
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
        and results.summary("ducks") == "There are no results on ducks yet."
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
        "  test: 6 images of 2 classes\n  no problems"
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
