"""DAMSM's pre-training: each of its published habits, exact resume, and what a run keeps."""

import json
import math
from dataclasses import replace

import pytest
import torch
from states import differing, ended

from t2i import config as configs
from t2i import data, device, galleries, lite0, log, losses
from t2i.__main__ import main
from t2i.data.captions import Vocabulary
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.text.damsm import TextEncoder
from t2i.text.trunks import InceptionTrunk, SmallTrunk
from t2i.training import Run, fit, prepare
from t2i.training import trunks as training_trunks
from t2i.training.damsm import Damsm, learning_rate
from t2i.training.texts import WordTexts, captions_of, vocabulary


@pytest.fixture
def recipe(tiny_damsm):
    """``recipe(**overrides)`` is a recipe before its first step, the same whenever it is made."""
    return lambda **overrides: prepare(tiny_damsm(**overrides))


def step(recipe: Damsm, number: int) -> dict[str, float]:
    device.seed_step(0, number)
    return {name: loss.item() for name, loss in recipe.train_step(recipe.batch(number), number).items()}


def test_every_epoch_has_a_fresh_adam_and_its_own_rate(recipe):
    made = recipe(batch_size=45)
    assert (made.steps_per_epoch, made.total_steps()) == (2, 4)
    for number, age in enumerate([1, 2, 1, 2]):
        step(made, number)
        for optimizer in made.optimizers.values():
            assert {int(state["step"]) for state in optimizer.state.values()} == {age}
            assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-3 * 0.98 ** (number // 2))
            if age == 1:  # nothing of the epoch before is left in the moments
                for parameter, state in optimizer.state.items():
                    torch.testing.assert_close(state["exp_avg"], 0.5 * parameter.grad)
                    torch.testing.assert_close(state["exp_avg_sq"], 0.001 * parameter.grad**2)


def test_the_rate_falls_while_more_than_a_tenth_is_left():
    rate, config = 2e-3, configs.PAPER["damsm", "cub"]
    for epoch in range(200):
        assert learning_rate(config, epoch) == pytest.approx(rate, rel=1e-9)
        if rate > 2e-3 / 10:  # as the official loop has it
            rate *= 0.98
    assert 0.98 * 2e-4 < rate <= 2e-4


def test_only_the_text_encoder_is_clipped(recipe):
    norms = {}
    for limit in (1e9, 1e-3):
        made = recipe(clip_norm=limit)
        step(made, 0)
        gradients = {name: [p.grad for p in network.parameters()] for name, network in made.networks.items()}
        norms[limit] = {name: torch.nn.utils.get_total_norm(g).item() for name, g in gradients.items()}
    assert norms[1e-3]["image"] == norms[1e9]["image"] > 0.1
    assert norms[1e-3]["encoder"] == pytest.approx(1e-3, rel=1e-3) and norms[1e9]["encoder"] > 0.1


def test_pairs_of_one_class_are_told_apart_only_without_the_mask(recipe):
    classes = recipe().batch(0).classes
    assert len(classes.unique()) < len(classes)
    assert step(recipe(class_mask=False), 0)["loss"] > step(recipe(), 0)["loss"]  # the same pairs, and more rivals


def test_the_loss_is_the_sum_of_the_four_terms_under_the_config_s_gammas(recipe, monkeypatch):
    seen = []
    original = losses.damsm
    monkeypatch.setattr(losses, "damsm", lambda *given: seen.append((given, original(*given))) or seen[-1][1])
    found = step(recipe(gamma_attention=1.0, gamma_words=2.0, gamma_matching=3.0), 0)
    ((_, _, classes, gammas), terms) = seen[0]
    assert gammas == (1, 2, 3) and classes is not None
    assert found["loss"] == pytest.approx(sum(terms).item())
    assert found["words"] + found["sentence"] == pytest.approx(found["loss"])


def test_a_run_stopped_inside_an_epoch_goes_on_to_the_same_bits(tiny_damsm):
    fit(tiny_damsm(steps=7))  # epochs have five steps
    resumed = ended(fit(tiny_damsm(steps=12)))
    assert differing(resumed, ended(fit(tiny_damsm(steps=12), resume=False))) == []


def test_validation_changes_nothing_and_is_logged(tiny_damsm, recipe):
    quiet = ended(fit(tiny_damsm(sample_every=1000)))
    run = fit(tiny_damsm(sample_every=1), resume=False)
    assert differing(quiet, ended(run)) == []
    lines = log.read(run.directory / "stats.jsonl")
    measured = lines.dropna(subset=["unseen_captions_recall", "unseen_images_recall"])
    assert measured["step"].tolist() == [1, 2, 3, 4]
    made = recipe()
    assert made.validate().keys() == {"unseen_captions_recall", "unseen_images_recall"}
    assert all(module.training for network in made.networks.values() for module in network.modules())


def test_words_are_numbered_in_the_train_captions_first(little_cub):
    index = data.read("cub", little_cub)
    assert index.examples[0].split == "test"  # so that the order of the file would show
    train = "a bird of kind 2 this has number 4 5 6 3 7 8 9"
    assert vocabulary(index, 10).words[1:] == [*train.split(), "1", "10", "11", "12"]
    assert vocabulary(index, 1).words[1:] == ["a", "bird", "of", "kind", "2", "3", "1", "4"]


def test_a_run_keeps_its_vocabulary(damsm_folder, little_aviary):
    run = Run.load(damsm_folder)
    words = vocabulary(data.read("aviary", little_aviary), 10).words
    assert run.encoder.vocabulary.words == words and len(run.encoder.embedding.weight) == len(words) > 20
    assert run.encode(["a red bird", "a bird"]).shape == (2, 256)
    with pytest.raises(UserError, match="'zyxgrub' holds no word of the vocabulary"):
        run.encode(["zyxgrub"])


def test_captions_without_words_are_passed_over_and_the_first_others_kept(little_cub):
    index = data.read("cub", little_cub)
    captions = ("!?", "a bird", "✓", "bird", "a")
    examples = [e.__class__(e.key, e.image, captions, 1, "train") for e in index.examples[:2]]
    index = index.__class__(index.name, index.root, examples).with_words()
    encoder = TextEncoder(3)
    encoder.vocabulary = Vocabulary(["a", "bird"])
    texts = WordTexts(encoder, captions_of(index.examples), limit=2, words=18)
    assert texts.numbers == [[[1, 2], [2]]] * 2
    texts = WordTexts(encoder, captions_of(index.examples), limit=1, words=18)
    drawn = texts.draw([0, 1, 0], data.dataset.rng_for(0, 0, "x"))
    assert drawn.numbers.tolist() == [[1, 2]] * 3 and drawn.lengths.tolist() == [2, 2, 2]


LITTLE = dict(steps=2, batch_size=4, trunk_width=4, trials=20)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_caption_without_words_does_not_end_a_run(little_cub, split, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    example = data.read("cub", little_cub).split(split)[0]
    with (little_cub / "text" / f"{example.key}.txt").open("a") as file:
        file.write("!?\n" * 8)
    evaluate(fit(configs.load("damsm", "cub", "smoke", root=str(little_cub), **LITTLE)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_without_any_word_is_named(little_cub, split, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    example = data.read("cub", little_cub).split(split)[0]
    (little_cub / "text" / f"{example.key}.txt").write_text("!?\n...\n")
    with pytest.raises(UserError, match=example.key.rpartition("/")[2]):
        fit(configs.load("damsm", "cub", "smoke", root=str(little_cub), **LITTLE))
    assert not list((tmp_path / "runs").rglob("*.pt"))


def test_without_inception_s_weights_the_small_trunk_learns(tiny_damsm, monkeypatch, capsys):
    def missing():
        raise UserError("inception.pth is missing", "Put it there.")

    monkeypatch.setattr(training_trunks, "legacy_weights", missing)
    config = tiny_damsm(trunk="inception-v3", steps=1)
    run = Run.load(fit(config).directory)
    notice = "inception.pth is missing. Put it there. Until then, DAMSM learns with the small trunk."
    assert notice in capsys.readouterr().out
    assert run.config.trunk == "small" and isinstance(run.image_encoder.trunk, SmallTrunk)
    monkeypatch.setattr(training_trunks, "legacy_weights", lambda: "there by now")
    assert fit(replace(config, steps=2)).config.trunk == "small"  # it stays the run that it is
    with pytest.raises(UserError, match="class_mask True there and False here"):
        fit(replace(config, class_mask=False))
    assert run.image_encoder(torch.zeros(1, 3, 32, 32)).code.shape == (1, 256)


def test_inception_s_weights_are_used_and_stay_while_their_statistics_move(recipe, imagenet_file, monkeypatch):
    monkeypatch.setattr(training_trunks, "legacy_weights", lambda: imagenet_file)
    made = recipe(trunk="inception-v3", batch_size=2)
    image, given = made.networks["image"], torch.load(imagenet_file, weights_only=True)
    assert isinstance(image.trunk, InceptionTrunk)
    assert all(torch.equal(value, given[name]) for name, value in image.trunk.state_dict().items())
    head = image.to_code.weight.detach().clone()
    assert math.isfinite(step(made, 0)["loss"]) and not torch.equal(image.to_code.weight, head)
    changed = {name for name, value in image.trunk.state_dict().items() if not torch.equal(value, given[name])}
    assert changed == {name for name, _ in image.trunk.named_buffers()}
    assert len(made.optimizers["image"].param_groups[0]["params"]) == 3  # the two heads


@pytest.mark.parametrize("rnn", ["LSTM", "GRU"])
def test_both_recurrent_layers_train_and_are_read_back(tiny_damsm, rnn):
    run = Run.load(fit(tiny_damsm(rnn=rnn, steps=1)).directory)
    assert type(run.encoder.rnn).__name__ == rnn and not run.encoder.training


def test_a_set_without_classes_is_trained_on(without_classes, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    run = fit(configs.load("damsm", str(without_classes), "smoke", **LITTLE))
    metrics = evaluate(run)["metrics"]
    assert metrics["chance"] == pytest.approx(1 / 3) and "r_precision" in metrics


def test_a_set_without_unseen_images_trains_unmeasured(tiny_damsm, monkeypatch):
    original = data.read

    def train_only(*given):
        index = original(*given)
        index.examples = index.split("train")
        return index

    monkeypatch.setattr(data, "read", train_only)
    run = fit(tiny_damsm())
    assert "unseen_captions_recall" not in log.read(run.directory / "stats.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dataset"), [("cub10", "cub"), ("coco_small", "coco")])
def test_real_photographs_train_and_are_measured(samples, name, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    monkeypatch.setattr(galleries, "SIZE", 20)  # a gallery of 100 takes 25 times as long
    command = ["train", "--model", "damsm", "--dataset", dataset, "--root", str(samples(name)), "--profile", "smoke"]
    assert main([*command, "--steps", "2", "--batch-size", "8"]) == 0
    directory = tmp_path / f"damsm-{dataset}-smoke-s0"
    assert main(["evaluate", "--run", str(directory)]) == 0
    metrics = json.loads((directory / "result.json").read_text())["metrics"]
    assert metrics["chance"] == 0.05 and "words_captions_recall_at_10" in metrics


def test_an_encoder_has_one_protocol(damsm_folder):
    with pytest.raises(UserError, match="damsm is measured by r-precision, not by fid2k-aviarynet1"):
        evaluate(Run.load(damsm_folder), protocol="fid2k-aviarynet1")


def test_the_trunk_of_lite0_has_its_imagenet_weights_and_lets_gradients_through(tiny_damsm):
    trunk = training_trunks.trunk(tiny_damsm(trunk="efficientnet-lite0"))
    pictures = torch.rand(2, 3, 272, 272, requires_grad=True)
    regions, pooled = trunk(pictures)
    features, _ = lite0.load().features(pictures.detach())
    torch.testing.assert_close(pooled, features, atol=1e-4, rtol=1e-4)
    assert regions.shape == (2, 672, 17, 17)
    (regions.sum() + pooled.sum()).backward()
    assert pictures.grad.abs().sum() > 0


def test_damsm_learns_on_the_trunk_of_lite0_and_its_run_stands_alone(tiny_damsm):
    run = fit(tiny_damsm(trunk="efficientnet-lite0", steps=1, batch_size=4, trials=10))
    kept = Run.load(run.directory).image_encoder.trunk.state_dict()
    given = lite0.load().state_dict()
    assert kept and all(torch.equal(value, given[name.removeprefix("network.")]) for name, value in kept.items())
    assert 0 <= evaluate(run, write=False)["metrics"]["r_precision"] <= 1


def test_without_inception_s_weights_photographs_are_seen_by_lite0(without_classes, monkeypatch, capsys):
    def missing():
        raise UserError("inception.pth is missing", "Put it there.")

    monkeypatch.setattr(training_trunks, "legacy_weights", missing)
    config = configs.load("damsm", str(without_classes), "smoke", trunk="inception-v3")
    assert training_trunks.backbone(config) == {"trunk": "efficientnet-lite0"}
