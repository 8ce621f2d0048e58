"""What photographs are measured by: EfficientNet-Lite0's protocols, class consistency, references of real pictures; and
that captions which fit a class alone are matched with no image."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from t2i import config as configs
from t2i import galleries, lite0
from t2i.__main__ import main
from t2i.data import flowers
from t2i.data.dataset import ImageTextDataset
from t2i.data.images import to_uint8
from t2i.metrics import conditioning, fidelity, metric, protocols, r_precision
from t2i.metrics.class_consistency import ClassConsistency, means, nearest, of_halves
from t2i.metrics.lite0_extractor import Lite0Extractor
from t2i.metrics.references import References


def noise(count, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ((torch.rand(count, 3, 16, 16, generator=generator) + shift) * 127).byte()


def test_the_extractor_gives_lite0_s_features_and_logits():
    extractor = Lite0Extractor("lite0", ["logits", "pool"])
    logits, pool = extractor(noise(2))
    features, classes = lite0.embed(noise(2).float() / 127.5 - 1)
    torch.testing.assert_close(pool, features)
    torch.testing.assert_close(logits, classes)
    assert extractor.net is not lite0.load()  # moving it moves nobody else's


def test_lite0_s_protocols_see_the_same_pictures_as_nearer():
    protocol = replace(protocols.get("fid200-lite0"), images=12)
    same = fidelity.score(noise(12), noise(12), protocol)
    other = fidelity.score(noise(12), noise(12, 0.9, seed=1), protocol)
    assert abs(same["fid"]) < 1e-2 and other["fid"] > 1 and other["kid_mean"] > same["kid_mean"]
    assert 1 <= same["is_mean"] <= 1000


def test_means_and_the_nearest_of_them():
    features = torch.tensor([[0.0, 0], [2, 0], [10, 0], [12, 4]])
    found = means(features, torch.tensor([0, 0, 1, 1]))
    assert found.tolist() == [[1, 0], [11, 2]]
    assert nearest(torch.tensor([[5.0, 0], [7, 1]]), found).tolist() == [0, 1]


def test_real_images_are_classified_by_the_other_half():
    generator, labels = torch.Generator().manual_seed(0), torch.arange(90) % 3
    apart = torch.nn.functional.one_hot(labels, 3) * 9.0 + torch.randn(90, 3, generator=generator)
    assert of_halves(apart, labels, seed=0) == 1
    alike = torch.randn(90, 200, generator=generator)  # a mean of its own image would find each of them
    assert of_halves(alike, labels, seed=0) < 0.5


@pytest.fixture
def unseen(little_flowers):
    """Six unseen images of three classes."""
    return ImageTextDataset(flowers.read(little_flowers), "test", (32,), crop="whole", resize="square")


def test_a_picture_is_of_its_caption_s_class_and_not_of_another_s(unseen):
    numbers = np.arange(6)
    run = SimpleNamespace(device="cpu", config=SimpleNamespace(dataset="flowers"), is_encoder=False)
    asked = SimpleNamespace(
        run=run, unseen=unseen, seed=0, captions=["x"] * 6, numbers=numbers, order=np.roll(numbers, 1)
    )
    consistency = ClassConsistency()
    with consistency.look(asked) as look:
        pictures = look(to_uint8(unseen.evaluation_images(numbers)[-1]))
    asked.of_generated = asked.of_real = lambda metric: pictures
    assert consistency.applies(run) and consistency.lacking(unseen) is None
    assert consistency.protocol(asked) == "class-3-efficientnet-lite0-6"
    found = consistency.measure(asked)
    assert found["class_consistency"] == 1 and found["class_consistency_shuffled"] == 0
    assert found["class_consistency_chance"] == 1 / 3
    fits_the_next = {name: values[list(np.roll(numbers, -1))] for name, values in pictures.items()}
    asked.of_generated = lambda metric: fits_the_next
    found = consistency.measure(asked)
    assert found["class_consistency"] == 0 and found["class_consistency_shuffled"] < 0.5


def test_class_consistency_takes_classes_of_two_images(unseen):
    unseen.labels = np.arange(6)
    assert ClassConsistency().lacking(unseen) == "it takes two unseen images of each class"
    unseen.labels = np.zeros(6, dtype=int)
    assert "at least 2 classes" in ClassConsistency().lacking(unseen)


def test_drawn_birds_have_attributes_instead(tiny):
    run = SimpleNamespace(config=tiny(), is_encoder=False)
    assert not ClassConsistency().applies(run) and not References().applies(run)


@pytest.fixture
def by_class(little_flowers):
    """Six unseen images with captions of their class, two of them certainly with their own."""
    (little_flowers / "text_c10").rename(little_flowers / "text_classlevel")
    (little_flowers / "paired.txt").write_text("image_00002\nimage_00003\n")
    return ImageTextDataset(flowers.read(little_flowers), "test", (32,), crop="whole", resize="square")


class Seen(torch.nn.Module):
    """Encoders that remember which images and captions they were shown; every vector is the same."""

    def __init__(self):
        super().__init__()
        self.weight, self.images, self.texts = torch.nn.Parameter(torch.ones(1)), [], []

    def forward(self, images):
        self.images += list(images)
        return galleries.ImageFeatures(torch.ones(len(images), 4, 2, 2), torch.ones(len(images), 4))

    def features(self, texts):
        self.texts += texts
        ones = torch.ones(len(texts), 4)
        return galleries.TextFeatures(ones[:, :, None], ones, None)

    def encode(self, texts):
        return self.features(texts).sentence


def test_captions_of_a_class_are_matched_with_no_image(by_class):
    assert by_class.certain.tolist() == [1, 2]
    certain = by_class.evaluation_images([1, 2])[-1]
    for measure in (galleries.recall, lambda *three, seed: r_precision.real_r_precision(*three, seed, trials=20)):
        judge = Seen()
        measure(judge, judge, by_class, seed=0)
        assert len(judge.images) == 2
        assert all(any(torch.equal(image, own) for own in certain) for image in judge.images)
    assert set(judge.texts[:20]) <= set(by_class.examples[1].captions + by_class.examples[2].captions)


def test_a_discriminator_is_asked_for_certain_pairs_alone(by_class):
    asked = []
    discriminator = SimpleNamespace(features=lambda images: images, conditional=lambda f, c: torch.zeros(len(f)))
    run = SimpleNamespace(discriminators=[discriminator], condition=lambda texts: asked.extend(texts), batch_size=4)
    conditioning.matching_scores(run, by_class, seed=0)
    assert set(asked) <= set(by_class.examples[1].captions + by_class.examples[2].captions) and len(asked) == 4


def test_the_record_says_how_many_pairs_are_certain(by_class, unseen):
    evaluation = SimpleNamespace(
        unseen=by_class,
        notes={},
        run=SimpleNamespace(config=configs.load("damsm", "flowers"), encoders=SimpleNamespace(digest="")),
    )
    metric.note_pairs(evaluation)
    assert evaluation.notes["pairs"].startswith("captions and images are matched on the 2 of 6 unseen images")
    assert r_precision.RealRPrecision().protocol(evaluation) == "r-precision-30k-of-2-pairs"
    evaluation.unseen, evaluation.notes = unseen, {}
    unseen.__dict__["certain"] = np.arange(6)
    metric.note_pairs(evaluation)
    assert evaluation.notes == {} and r_precision.RealRPrecision().protocol(evaluation) == "r-precision-30k"


def test_without_two_certain_pairs_nothing_is_matched(by_class):
    assert metric.too_few_pairs(by_class, classes=2) is None
    by_class.__dict__["certain"] = np.array([2])
    assert metric.too_few_pairs(by_class) == (
        "it takes two unseen images whose captions are certainly their own, and there are 1"
    )
    by_class.__dict__["certain"] = np.array([1, 4])
    assert "at least 2 classes, and all are of 1" in metric.too_few_pairs(by_class, classes=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "sample", "notes"),
    [("cub", "cub10", ()), ("flowers", "flowers102_64", ("matching",)), ("coco", "coco_small", ("class_consistency",))],
)
def test_a_gan_learns_from_photographs_draws_and_is_measured(samples, dataset, sample, notes, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    command = [
        "train",
        "--model",
        "gan-cls",
        "--dataset",
        dataset,
        "--root",
        str(samples(sample)),
        "--profile",
        "smoke",
    ]
    assert main([*command, "--steps", "3", "--images-per-class", "3"]) == 0
    run = tmp_path / f"gan-cls-{dataset}-smoke-s0"
    assert main(["sample", "--run", str(run), "a yellow one", "--count", "2", "--out", str(tmp_path / "two.png")]) == 0
    assert (tmp_path / "two.png").stat().st_size > 500
    assert main(["evaluate", "--run", str(run), "--json", str(tmp_path / "record.json")]) == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["protocol"] == "fid200-lite0" and record["protocol_settings"]["extractor"] == "lite0"
    figures = record["metrics"]
    assert figures["fid"] > 0 and 0 < figures["fid_halves"] < figures["fid"]
    assert figures["kid_halves"] < figures["kid_mean"] and figures["fid_wrong_classes"] > 0
    assert set(notes) <= {name for name, note in record["extra"].items() if str(note).startswith("left out")}
    if "class_consistency" not in notes:
        assert figures["class_consistency_real"] > 2 * figures["class_consistency_chance"]
        assert 0 <= figures["class_consistency"] <= 1 and 0 <= figures["class_consistency_shuffled"] <= 1
