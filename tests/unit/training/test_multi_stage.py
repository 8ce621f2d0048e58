"""AttnGAN, DM-GAN, the hybrids and MSMT-GAN in training: exact resume, and what a run folder can do alone."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from states import differing, ended, tensors

from t2i import checkpoint, log, models
from t2i import config as configs
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run, fit
from t2i.training.average import BATCHES

# Of every kind of stage one that has it, and a single stage alone.
TRAINED = ("attngan", "dm-gan", "attndm-gan", "dmattn-gan", "msmt-gan", "mtwig-ks2")
CAPTIONS = ["a red bird with a long tail", "a blue bird", "a small bird with a yellow body and a black bill"]


def same(one, other) -> bool:
    """Whether the tensors of two nested states are identical to the last bit."""
    one, other = tensors(one), tensors(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("model", TRAINED)
def test_a_run_goes_on_to_the_same_bits_and_draws(tiny_stages, model):
    whole = ended(fit(tiny_stages(model, steps=3)))
    fit(tiny_stages(model, steps=1), resume=False)
    run = fit(tiny_stages(model, steps=3))
    assert differing(whole, ended(run)) == []
    assert log.read(run.directory / "stats.jsonl")["step"].tolist() == [1, 2, 3]
    names = {str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.is_file()}
    assert names == {
        "config.json",
        "stats.jsonl",
        "checkpoint.pt",
        "samples/step_0000001.png",
        "samples/step_0000003.png",
    }

    again, pictures = Run.load(run.directory), run.sample(CAPTIONS, count=2, seed=5)
    side = 16 if model == "mtwig-ks2" else 32
    assert pictures.shape == (6, 3, side, side) and pictures.dtype == torch.uint8
    assert torch.equal(again.sample(CAPTIONS, count=2, seed=5), pictures)
    assert not torch.equal(again.sample(CAPTIONS, count=2, seed=6), pictures)
    for k, caption in enumerate(CAPTIONS):
        alone = again.sample([caption], count=2, seed=5).int()
        assert (alone - pictures[2 * k : 2 * k + 2].int()).abs().max() <= 1  # rounding, once it is a byte
        assert len(alone[0].unique()) > 10


@pytest.mark.parametrize("model", ["attndm-gan", "msmt-gan"])
def test_what_a_run_draws_can_be_looked_at(finished, tiny_stages, model):
    run = finished(tiny_stages(model))
    made = run.draw(CAPTIONS, *run.noise(3, seed=0))
    assert [tuple(image.shape[1:]) for image in made.images] == [(3, 8, 8), (3, 16, 16), (3, 32, 32)]
    assert [tuple(maps.shape) for maps in made.attention] == [(3, 11, 8, 8), (3, 11, 16, 16)]
    for maps in made.attention:
        torch.testing.assert_close(maps.sum(dim=1), torch.ones_like(maps[:, 0]))
        assert not maps[1, 3:].any()  # "a blue bird"


@pytest.mark.parametrize("model", ["attngan", "dm-gan"])
def test_the_encoders_never_change(finished, tiny_stages, damsm_folder, recipe, model):
    before = Run.load(damsm_folder).encoders.kept()
    kept = finished(tiny_stages(model)).encoders.kept()
    assert same(kept, before) and kept["extras"] == before["extras"]
    made = recipe(model)
    made.train_step(made.batch(0), 0)
    made.recalibrate(made.networks["generator"])
    for encoder, name in ((made.texts.encoder, "weights"), (made.objective.image_encoder, "image")):
        assert not any(module.training for module in encoder.modules())
        assert same(encoder.state_dict(), before[name])


def test_the_processes_of_a_data_parallel_run_share_one_batch(recipe):
    made = recipe(words=4)
    whole, parts = made.batch(3), []
    for made.shard in (slice(0, 2), slice(2, 4)):
        parts.append(made.batch(3))
    assert made.shard != slice(0, 4) and [image.shape[-1] for image in whole.images] == [8, 16, 32]
    both = [torch.cat(sizes) for sizes in zip(*(part.images for part in parts), strict=True)]
    assert all(torch.equal(*pair) for pair in zip(both, whole.images, strict=True))
    for name in ("classes", "noise", "eps"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name
    for name in ("numbers", "lengths"):
        assert torch.equal(torch.cat([getattr(part.text, name) for part in parts]), getattr(whole.text, name)), name
    assert whole.text.numbers.shape == (4, 4) and whole.text.lengths.max() == 4
    assert not torch.equal(made.batch(4).noise, parts[1].noise)


@pytest.mark.parametrize("model", ["gan-cls", "stackgan-se", "stackgan-stage2", "stackgan2", "attngan", "msmt-gan"])
def test_running_statistics_are_those_of_the_live_generator(tiny_stack, tiny_stages, model):
    """As in all of the line's code, and under "paper"."""
    make = tiny_stages if model in configs.COMPOSITIONS else tiny_stack
    ends = {
        kind: ended(fit(make(model, batch_norm_statistics=kind, ema_decay=0.9), resume=False))
        for kind in ("running", "measured")
    }
    buffers = [name for name, _ in models.from_config(make(model)).generator.named_buffers()]
    means = [name for name in buffers if name.endswith("running_mean")]
    live, average = ends["running"]["networks"]["generator"], ends["running"]["average"]
    assert means and all(torch.equal(live[name], average[name]) for name in buffers)
    assert all(average[name].any() for name in means)
    assert not any(torch.equal(ends["measured"]["average"][name], live[name]) for name in means)
    assert configs.PAPER[model, "cub"].batch_norm_statistics == "running"


def test_statistics_are_measured_for_the_averaged_weights(finished, tiny_stages, recipe):
    """The plain mean over the settling batches, in a copy where it is done by hand."""
    run, made = finished(tiny_stages()), recipe()
    generator = copy.deepcopy(run.generator).train()
    norm, seen = generator.refinements[1].up.norm, []
    norm.register_forward_hook(lambda _, given, out: seen.append(given[0].mean(dim=(0, 2, 3))))
    made.recalibrate(generator)
    assert len(seen) == BATCHES and not generator.training and norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(dim=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_mean, run.generator.refinements[1].up.norm.running_mean)  # as fit left it
    live = run.state["networks"]["generator"]["refinements.1.up.norm.running_mean"]
    assert not torch.allclose(live, norm.running_mean, rtol=0.01)


@pytest.mark.parametrize("model", ["attngan", "dm-gan", "msmt-gan", "mtwig-ks2"])
def test_mixed_precision_trains(tiny_stages, model):
    run = fit(tiny_stages(model, precision="bf16-mixed", checkpoint_every=2))
    assert all(torch.isfinite(part).all() for part in tensors(run.state["average"]).values())
    assert np.isfinite(log.read(run.directory / "stats.jsonl").to_numpy()).all()


METRICS = {"fid", "is_mean", "kid_mean", "matching_score", "matching_accuracy", "r_precision", "r_precision_shuffled"}


def test_a_run_folder_is_measured_without_its_encoder_s(tiny_stages, damsm_folder, tmp_path):
    encoder = shutil.copytree(damsm_folder, tmp_path / "encoder")
    directory = fit(tiny_stages("dmattn-gan", text_encoder=str(encoder))).directory
    shutil.rmtree(encoder)
    directory = directory.rename(tmp_path / "elsewhere")
    record = evaluate(Run.load(directory))
    metrics = record["metrics"]
    assert metrics.keys() >= METRICS | {"body_accuracy", "body_accuracy_shuffled"}
    assert all(np.isfinite(value) for value in metrics.values())
    assert record["protocol"] == "fid200-aviarynet1" and record["generated_count"] == 200 and record["steps"] == 2
    assert json.loads((directory / "result.json").read_text()) == record
    again = evaluate(Run.load(directory))["metrics"]
    assert again == metrics
    assert Run.load(directory).sample(["a red bird"]).shape == (1, 3, 32, 32)


def test_an_encoder_without_a_vocabulary_is_refused(tiny_stages, damsm_folder, tmp_path):
    encoder = shutil.copytree(damsm_folder, tmp_path / "encoder")
    state = checkpoint.read(encoder / "checkpoint.pt")
    state["extras"]["vocabulary"] = None  # as the import of a released encoder without its captions.pickle leaves it
    checkpoint.save(encoder / "checkpoint.pt", state)
    for use in (lambda: fit(tiny_stages(text_encoder=str(encoder))), lambda: Run.load(encoder).unread(["a bird"])):
        with pytest.raises(UserError, match=r"has no vocabulary\. Import it with the captions\.pickle"):
            use()


def test_one_image_is_no_batch(tiny_stages):
    with pytest.raises(UserError, match=r"attngan needs at least two images.*Choose a --batch-size of 2 or more"):
        fit(tiny_stages(batch_size=1))
    fit(tiny_stages(batch_size=2, steps=1))


def test_looking_twice_at_a_run_changes_nothing(finished, tiny_stages):
    run = finished(tiny_stages("dm-gan"))
    assert evaluate(run)["metrics"] == evaluate(run)["metrics"]


def test_a_set_without_classes_is_trained_on(without_classes, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    little = dict(steps=1, batch_size=4)
    encoder = fit(configs.load("damsm", str(without_classes), "smoke", trunk_width=4, trials=20, **little))
    config = configs.load("attngan", str(without_classes), "smoke", text_encoder=str(encoder.directory), **little)
    metrics = evaluate(fit(config))["metrics"]
    assert metrics.keys() >= METRICS and "body_accuracy" not in metrics


@pytest.fixture(scope="module")
def cub_encoder(samples, tmp_path_factory):
    """A DAMSM of one step on real birds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("cub_encoder")))
        settings = dict(root=str(samples("cub10")), steps=1, batch_size=8, trunk_width=4)
        return fit(configs.load("damsm", "cub", "smoke", **settings)).directory


@pytest.mark.slow
@pytest.mark.parametrize("model", TRAINED)
def test_real_photographs_train_sample_and_evaluate(samples, cub_encoder, model, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    command = ["train", "--model", model, "--dataset", "cub", "--root", str(samples("cub10")), "--profile", "smoke"]
    for steps in ("1", "2"):  # and resumed
        assert main([*command, "--steps", steps, "--batch-size", "4", "--text-encoder", str(cub_encoder)]) == 0
    directory = tmp_path / f"{model}-cub-smoke-s0"
    sheet = tmp_path / "sheet.png"
    assert (
        main(["sample", "--run", str(directory), "a red bird", "this bird", "--count", "2", "--out", str(sheet)]) == 0
    )
    assert main(["evaluate", "--run", str(directory)]) == 0
    record = json.loads((directory / "result.json").read_text())
    assert record["steps"] == 2 and record["metrics"].keys() >= METRICS and record["metrics"]["fid"] > 0
    assert sheet.stat().st_size > 1000
