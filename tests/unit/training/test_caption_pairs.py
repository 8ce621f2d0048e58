"""Char-CNN-RNN on COCO: captions without pictures."""

import copy
from dataclasses import replace

import pytest
import torch
from states import differing, ended, same

from t2i import config as configs
from t2i import data
from t2i.data.dataset import ImageTextDataset
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.text.characters import characters
from t2i.training import Run, fit

CHANNELS = (16, 16, 16)


@pytest.fixture
def pairs(coco_root, tmp_path, monkeypatch):
    """``pairs(**overrides)`` is a config whose run folder is the test's own; its epochs have three steps."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))

    def config(**overrides):
        small = dict(root=str(coco_root), steps=4, batch_size=3, channels=CHANNELS, log_every=1)
        return configs.load("char-cnn-rnn-icml", "coco", "smoke", **small | overrides)

    return config


def test_a_batch_holds_two_different_captions_of_each_of_its_images(pairs, ready):
    recipe = ready(pairs())
    numbers = {row.numpy().tobytes(): n for n, e in enumerate(recipe.data.examples) for row in characters(e.captions)}
    seen = set()
    for step in range(40):
        first, second = recipe.batch(step).chunk(2)
        owners = [[numbers[row.numpy().tobytes()] for row in part] for part in (first, second)]
        assert owners[0] == owners[1] and len(set(owners[0])) == 3
        assert not (first == second).all(dim=1).any()
        seen |= {row.numpy().tobytes() for row in first}
    assert len(seen) == 3 * 8  # any caption may come first


def test_a_step_is_the_official_one(pairs, ready):
    recipe = ready(pairs(learning_rate=2e-3))
    theirs = copy.deepcopy(recipe.networks["encoder"].double())
    adam = torch.optim.Adam(theirs.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for step in range(2):
        first, second = theirs(recipe.batch(step)).chunk(2)
        scores, loss = second @ first.T, 0.0
        for i in range(3):
            for j in range(3):
                if i != j:
                    loss = loss + (scores[i, j] - scores[i, i] + 1).clamp(min=0) / 9
        adam.zero_grad()
        loss.backward()
        adam.step()
        found = recipe.train_step(recipe.batch(step), step)
        torch.testing.assert_close(found["loss"], loss)
        for ours, wanted in zip(recipe.networks["encoder"].parameters(), theirs.parameters(), strict=True):
            assert same(ours, wanted)


def test_the_rate_is_halved_before_every_so_many_epochs_counted_from_one(pairs, ready):
    recipe = ready(pairs(halve_every=2, steps=0, epochs=5))
    assert recipe.steps_per_epoch == 3 and recipe.total_steps() == 15  # the last batch of an epoch is counted
    rates = []
    for step in (0, 2, 3, 8, 9):
        recipe.train_step(recipe.batch(step), step)
        rates.append(recipe.optimizers["encoder"].param_groups[0]["lr"] / recipe.config.learning_rate)
    assert rates == [1, 1, 0.5, 0.5, 0.25]


def test_a_run_looks_at_no_picture_and_goes_on_to_the_same_bits(pairs, monkeypatch):
    monkeypatch.setattr(ImageTextDataset, "cache", property(lambda _: pytest.fail("decoded a picture")))
    whole = ended(fit(pairs()))
    fit(pairs(steps=2), resume=False)
    run = fit(pairs())
    assert differing(whole, ended(run)) == []
    record = evaluate(run)
    assert record["protocols"] == {"caption_recall": "caption-recall-6"} and record["protocol"] == "caption-recall"
    assert record["metrics"].keys() == {f"caption_recall_at_{k}" for k in (1, 5, 10)} | {"chance"}
    recalls = [record["metrics"][f"caption_recall_at_{k}"] for k in (1, 5, 10)]
    assert recalls == sorted(recalls) and recalls[-1] == 1  # of six images, the right one is among the first ten


def test_captions_that_fit_find_one_another(pairs, monkeypatch):
    """Where a caption's vector says which image it belongs to, and nothing else."""
    run, letters = fit(pairs(steps=1)), list("ijklmn")  # each unseen image has its own

    def encode(self, captions):
        return torch.eye(6)[
            [next(letters.index(word) for word in text.split() if word in letters) for text in captions]
        ]

    monkeypatch.setattr(Run, "encode", encode)
    assert evaluate(run, write=False)["metrics"]["caption_recall_at_1"] == 1
    monkeypatch.setattr(Run, "encode", lambda self, captions: torch.ones(len(captions), 6))
    assert evaluate(run, write=False)["metrics"]["caption_recall_at_1"] == 0


def test_gan_cls_reads_with_it(pairs, coco_root):
    encoder = fit(pairs())
    small = dict(steps=1, batch_size=4, generator_width=4, discriminator_width=4)
    gan = fit(configs.load("gan-cls", "coco", "smoke", root=str(coco_root), **small), given={"encoder": encoder})
    assert gan.sample(["a thing"]).shape == (1, 3, 32, 32) and gan.encoder.variant == "icml-gru"


def test_an_image_with_one_caption_is_named(pairs, ready, monkeypatch):
    index = data.load(pairs())
    index.examples[5] = replace(index.examples[5], captions=("a thing",))
    monkeypatch.setattr(data, "load", lambda config: index)
    with pytest.raises(UserError, match=r"/000000000005 has one caption, and char-cnn-rnn-icml learns from pairs\."):
        ready(pairs())
