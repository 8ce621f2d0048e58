from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from t2i import data
from t2i.data import aviary, aviary_captions
from t2i.data.aviary_drawing import draw
from t2i.errors import UserError


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def test_thirty_species_to_learn_from_and_ten_unseen_each_with_every_body_colour():
    kinds = [bird for _, bird in aviary.species()]
    assert len(kinds) == aviary.TRAIN_SPECIES + aviary.TEST_SPECIES == 40
    assert len({(b.body, b.belly, b.wing, b.crown) for b in kinds}) == 40
    assert len({name for name, _ in aviary.species()}) == 40
    for part in (kinds[: aviary.TRAIN_SPECIES], kinds[aviary.TRAIN_SPECIES :]):
        assert {bird.body for bird in part} == set(aviary.COLOUR_NAMES)


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


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot be drawn at 300 px\. Choose a size from 16 to 256"):
        aviary.write(tmp_path / "a", size=300)
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(UserError, match="is not empty and holds no Aviary"):
        aviary.write(tmp_path)
    with pytest.raises(UserError, match=r"attributes\.jsonl is missing"):
        aviary.true_attributes(tmp_path)
