from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from t2i import config as configs
from t2i import data
from t2i.data import aviary, aviary_captions
from t2i.data.aviary_drawing import draw
from t2i.data.check import check
from t2i.data.dataset import ImageTextDataset
from t2i.data.images import to_uint8
from t2i.errors import UserError
from t2i.metrics import attributes


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def test_thirty_species_to_learn_from_and_ten_unseen_each_with_every_body_colour():
    kinds = [bird for _, bird in aviary.species()]
    assert len(kinds) == aviary.TRAIN_SPECIES + aviary.TEST_SPECIES == 40
    assert len({(b.body, b.belly, b.wing, b.crown) for b in kinds}) == 40
    assert len({name for name, _ in aviary.species()}) == 40
    for part in (kinds[: aviary.TRAIN_SPECIES], kinds[aviary.TRAIN_SPECIES :]):
        assert {bird.body for bird in part} == set(aviary.COLOUR_NAMES)


def test_the_large_set_has_the_numbers_of_cub_and_begins_with_the_species_of_the_small_one():
    kinds = aviary.species(count=aviary.LARGE)
    assert kinds[: aviary.SMALL] == aviary.species()
    assert len({(b.body, b.belly, b.wing, b.crown) for _, b in kinds}) == len({name for name, _ in kinds}) == 200
    parts = {part: [n for n in range(1, 201) if aviary.split(n) == part] for part in ("train", "test")}
    assert {part: len(numbers) for part, numbers in parts.items()} == {"train": 150, "test": 50}
    assert parts["train"][:30] == [*range(1, 31)] and parts["test"][:10] == [*range(31, 41)]
    for numbers in parts.values():
        assert {kinds[number - 1][1].body for number in numbers} == set(aviary.COLOUR_NAMES)
    assert sum(1 for _ in aviary.birds(count=aviary.LARGE)) == 12_000


def test_birds_of_a_species_vary_but_mostly_look_alike():
    _, kind = aviary.species()[0]
    flock = [aviary.individual(kind, rng(k)) for k in range(200)]
    assert len(set(flock)) > 100
    share = Counter(bird.crown for bird in flock)[kind.crown] / len(flock)
    assert 0.65 < share < 0.95
    assert {bird.pose for bird in flock} == set(aviary.POSES)


def test_the_set_follows_from_its_seed(tmp_path):
    def pixels(root):
        return {path.name: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        aviary.write(tmp_path / name, size=32, images_per_species=1, seed=seed)
    assert pixels(tmp_path / "one") == pixels(tmp_path / "two") != pixels(tmp_path / "other")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folders of the small and of the large set, two birds of each species; the large one is drawn by several
    processes."""
    root = tmp_path_factory.mktemp("birds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aviary.os, "sched_getaffinity", lambda _: {0, 1})
        for name, count in (("aviary", aviary.SMALL), ("aviary-200", aviary.LARGE)):
            aviary.write(root / name, size=64, images_per_species=2, count=count)
    return {name: root / name for name in ("aviary", "aviary-200")}


def test_what_both_sets_have_is_equal_to_the_byte(both):
    small, large = (data.read(name, root).checked() for name, root in both.items())
    shared = [example for example in large.examples if example.class_id <= aviary.SMALL]
    assert (len(small.split("train")), len(small.split("test"))) == (60, 20)
    assert (len(large.split("train")), len(large.split("test"))) == (300, 100)
    assert small.split("test") == [_in(both["aviary"], example, large.root) for example in large.split("test")[:20]]
    for mine, theirs in zip(small.examples, shared, strict=True):
        assert mine == _in(both["aviary"], theirs, large.root)
        assert mine.image.read_bytes() == theirs.image.read_bytes()
    truths = [aviary.true_attributes(root) for root in both.values()]
    assert truths[0].items() <= truths[1].items() and check(large).problems == []


def _in(root, example, other):
    """``example`` of the set at ``other``, as the set at ``root`` has it."""
    return replace(example, image=root / example.image.relative_to(other))


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", ["aviary", "aviary-200"])
def test_the_judge_sees_the_attributes_of_real_unseen_birds_of_both_sets(both, name, size):
    """AviaryNet learned from birds of no species, so it must know those of any."""
    index = data.read(name, both[name])
    unseen = ImageTextDataset(index, "test", (size,))
    pictures = to_uint8(unseen.evaluation_images(range(len(unseen)))[0]).repeat_interleave(3, dim=0)
    table = attributes.accuracy(pictures, [text for example in unseen.examples for text in example.captions[:3]])
    found = {attribute: row["accuracy"] for attribute, row in table.items()}
    assert min(found[name] for name in ("body", "belly", "wing", "crown", "pose")) > 0.93, found
    assert found["bill"] > 0.85, found


@pytest.mark.parametrize("size", [16, 64, 128, 256])
def test_a_bird_is_drawn_inside_its_box_at_any_size(size):
    picture, (x, y, width, height) = draw(aviary.random_bird(rng(1)), size, rng(2))
    assert picture.size == (size, size) and picture.mode == "RGB"
    assert 0 <= x < x + width <= size and 0 <= y < y + height <= size
    assert width > 0.2 * size and height > 0.15 * size


def test_a_bird_is_the_same_bird_at_every_size():
    bird = aviary.random_bird(rng(3))
    large, small = (draw(bird, size, rng(4))[0] for size in (256, 64))
    difference = np.abs(np.asarray(large.resize((64, 64), Image.Resampling.BOX), float) - np.asarray(small, float))
    assert difference.mean() < 4


def test_the_colour_of_the_body_is_on_the_body():
    bird = replace(aviary.random_bird(rng(5)), pose="standing", background="snow", belly="white", wing="gray")
    for colour, channel in (("red", 0), ("green", 1), ("blue", 2)):
        pixels = np.asarray(draw(replace(bird, body=colour), 64, rng(6))[0], float).reshape(-1, 3)
        excess = pixels[:, channel] - np.delete(pixels, channel, axis=1).max(axis=1)
        assert (excess > 40).sum() > 60, colour


def test_the_written_set_is_read_by_the_loader_of_cub(little_aviary):
    index = data.read("aviary", little_aviary).checked()
    assert index.name == "aviary" and len(index.examples) == 40 * 3
    assert (len(index.split("train")), len(index.split("test"))) == (90, 30)
    assert all(len(example.captions) == 10 and example.box for example in index.examples)
    train, test = ({e.class_id for e in index.split(s)} for s in ("train", "test"))
    assert not train & test
    truths = aviary.true_attributes(little_aviary)
    assert truths.keys() == {example.key for example in index.examples}


def test_every_caption_tells_the_truth_and_most_name_the_body(little_aviary):
    truths, named_bodies, total = aviary.true_attributes(little_aviary), 0, 0
    for example in data.read("aviary", little_aviary).examples:
        truth = asdict(truths[example.key])
        for caption in example.captions:
            named = aviary_captions.named_attributes(caption)
            assert {name: truth[name] for name in named} == named, caption
            assert named, caption
            named_bodies += "body" in named
            total += 1
    assert 0.75 < named_bodies / total < 0.95


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        (
            "This small bird has a RED crown, and short black bill.",
            {"crown": "red", "bill": "black", "bill_length": "short", "size": "small"},
        ),
        ("a grey bird with white wings in flight", {"body": "gray", "wing": "white", "pose": "flying"}),
        (
            "the body of this large bird is green and it has wing bars",
            {"body": "green", "size": "large", "wing_bars": True},
        ),
        (
            "its belly is yellow, the wings are brown, the beak is orange",
            {"belly": "yellow", "wing": "brown", "bill": "orange"},
        ),
        ("white wing bars", {"wing_bars": True}),
        ("a lovely morning", {}),
    ],
)  # fmt: skip
def test_named_attributes(caption, named):
    assert aviary_captions.named_attributes(caption) == named


def test_an_interrupted_set_is_drawn_again_and_a_finished_one_is_kept(tmp_path, monkeypatch):
    root = tmp_path / "aviary"
    aviary.write(root, size=16, images_per_species=1)
    stamp = root / "aviary.json"
    before = stamp.stat().st_mtime_ns
    aviary.ensure(root)
    assert stamp.stat().st_mtime_ns == before
    stamp.unlink()
    drawn = []
    monkeypatch.setattr(aviary, "write", lambda root, **_: drawn.append(root))
    aviary.ensure(root)
    assert drawn == [root]


def test_a_redrawing_that_was_interrupted_is_not_taken_for_the_set(tmp_path, monkeypatch):
    root = tmp_path / "aviary"
    aviary.write(root, size=16, images_per_species=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(aviary, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        aviary.write(root, size=32, images_per_species=1)
    assert not (root / "aviary.json").exists()


def test_a_set_is_not_taken_for_the_other(tmp_path):
    aviary.write(tmp_path / "birds", size=16, images_per_species=1)
    with pytest.raises(
        UserError, match=r"holds the Aviary of 40 species, not of 200\. Name another folder with --root"
    ):
        data.read("aviary-200", tmp_path / "birds")
    settings = [
        configs.load("attngan", name, image_size=size) for name in ("aviary", "aviary-200") for size in (64, 256)
    ]
    names = [data.root(config).name for config in settings]
    assert names == ["aviary", "aviary-256", "aviary-200", "aviary-200-256"]
    assert configs.paper("attngan", "aviary-200") == replace(configs.paper("attngan", "aviary"), dataset="aviary-200")


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot be drawn at 300 px\. Choose a size from 16 to 256"):
        aviary.write(tmp_path / "a", size=300)
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(UserError, match="is not empty and holds no Aviary"):
        aviary.write(tmp_path)
    with pytest.raises(UserError, match=r"attributes\.jsonl is missing"):
        aviary.true_attributes(tmp_path)


@pytest.mark.parametrize("content", ["", '{"key": 1}\n', "my own list\n", '{"body": "red"}\n'])
def test_a_users_files_of_the_same_names_are_never_drawn_over(tmp_path, content):
    for name in ("attributes.jsonl", "train_filenames.txt", "photo.png"):
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="is not empty and holds no Aviary"):
        aviary.write(tmp_path, size=16, images_per_species=1)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("attributes.jsonl", "train_filenames.txt", "photo.png"), content
    )
