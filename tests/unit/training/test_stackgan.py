"""StackGAN's stages and StackGAN++ in training: the published step, exact resume, and what a run can do."""

import copy
import json

import pytest
import torch
from states import differing, ended, same, tensors
from torch import nn

from t2i import config as configs
from t2i import log, losses, models
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run, fit
from t2i.training.average import BATCHES

MODELS = ("stackgan-cnn", "stackgan-res", "stackgan-se", "stackgan-stage2", "stackgan2")
SIZES = {"stackgan-stage2": 64, "stackgan2": 32}
CAPTIONS = ["a red bird with a long tail", "a blue bird", "a small bird with a yellow body and a black bill"]
METRICS = {"fid", "is_mean", "kid_mean", "matching_score", "matching_score_shuffled", "matching_accuracy"}


@pytest.fixture
def recipe(tiny_stack, ready):
    """``recipe(model, **overrides)`` is a recipe before its first step, the same whenever it is made."""
    return lambda model, **overrides: ready(tiny_stack(model, **overrides))


@pytest.mark.parametrize("model", MODELS)
def test_a_run_goes_on_to_the_same_bits_and_draws(tiny_stack, model):
    whole = ended(fit(tiny_stack(model, steps=3)))
    fit(tiny_stack(model, steps=1), resume=False)
    run = fit(tiny_stack(model, steps=3))
    assert differing(whole, ended(run)) == []
    assert log.read(run.directory / "stats.jsonl")["step"].tolist() == [1, 2, 3]
    again, pictures = Run.load(run.directory), run.sample(CAPTIONS, count=2, seed=5)
    size = SIZES.get(model, 16)
    assert pictures.shape == (6, 3, size, size) and pictures.dtype == torch.uint8
    assert torch.equal(again.sample(CAPTIONS, count=2, seed=5), pictures)
    assert not torch.equal(again.sample(CAPTIONS, count=2, seed=6), pictures)
    assert (run.directory / "samples" / "step_0000003.png").exists()


def entropy(logits, label):
    return nn.functional.binary_cross_entropy(logits.sigmoid(), torch.full_like(logits, label))


def stackgan_losses(d, real, fake, mean):
    """Stage-I's and Stage-II's as formulas: D's loss, and a function of the picture that gives G's."""
    real, made = d.features(real), d.features(fake.detach())
    right, wrong = d.conditional(real, mean), d.conditional(real[:-1], mean[1:])
    fitting = entropy(d.conditional(made, mean), 0.0)
    if d.unconditional is None:
        loss = entropy(right, 1.0) + 0.5 * (fitting + entropy(wrong, 0.0))
    else:
        loss = (entropy(right, 1.0) + entropy(d.unconditional(real), 1.0)) / 2
        loss = loss + (fitting + entropy(wrong, 0.0) + entropy(d.unconditional(made), 0.0)) / 3

    def generator():
        features = d.features(fake)
        alone = 0 if d.unconditional is None else entropy(d.unconditional(features), 1.0)
        return entropy(d.conditional(features, mean), 1.0) + alone

    return loss, generator


def official_step(made, batch, networks, adams):
    """The step as the official trainer has it."""
    generator, discriminators = networks
    drawn = generator(batch.noise, batch.text, batch.eps)
    closures = []
    for k, d in enumerate(discriminators):
        if batch.wrong:
            loss, closure = tree_losses(d, batch.images[k], batch.wrong[k], drawn.images[k], drawn.mean)
        else:
            loss, closure = stackgan_losses(d, batch.images[k], drawn.images[k], drawn.mean.detach())
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        closures.append(closure)
    adams[0].zero_grad()
    divergence = losses.kullback_leibler(drawn.mean, drawn.log_variance)
    (sum(closure() for closure in closures) + 2.0 * divergence).backward()
    adams[0].step()


def tree_losses(d, real, wrong, fake, mean):
    """StackGAN++'s: the wrong picture is real where it is judged alone, and G's step teaches μ through D."""
    loss = 0
    for picture, fits, is_real in ((real, 1.0, 1.0), (wrong, 0.0, 1.0), (fake.detach(), 0.0, 0.0)):
        features = d.features(picture)
        loss = loss + entropy(d.conditional(features, mean.detach()), fits)
        loss = loss + entropy(d.unconditional(features), is_real)

    def generator():
        features = d.features(fake)
        return entropy(d.conditional(features, mean), 1.0) + entropy(d.unconditional(features), 1.0)

    return loss, generator


@pytest.mark.parametrize("model", ["stackgan-cnn", "stackgan-se", "stackgan-stage2", "stackgan2"])
def test_a_step_is_the_official_one(recipe, double, model):
    """In float64, and at a rate at which it shows that the generator is judged by what has just been updated."""
    made = recipe(model, learning_rate=2e-3)
    names = "generator", "discriminators"
    networks = copy.deepcopy([made.networks[name].double() for name in names])
    adams = [torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.999)) for network in networks]
    for number in range(2):
        batch = double(made.batch(number))
        official_step(made, batch, networks, adams)
        made.train_step(batch, number)
        for name, network in zip(names, networks, strict=True):
            for (key, found), wanted in zip(made.networks[name].named_parameters(), network.parameters(), strict=True):
                assert same(found, wanted), key
                if name == "generator" and found.requires_grad:
                    assert same(found.grad, wanted.grad), key


@pytest.mark.parametrize("model", MODELS)
def test_what_teaches_the_mean(recipe, model):
    """StackGAN's D does not, StackGAN++'s does; here the pictures are cut off."""
    made = recipe(model)
    generator, discriminators = made.networks["generator"], made.networks["discriminators"]
    batch = made.batch(0)
    drawn = generator(batch.noise, batch.text, batch.eps)
    drawn = drawn._replace(images=[image.detach() for image in drawn.images])
    terms = made.objective.generator(discriminators, drawn, batch.text, batch.classes)
    assert terms["adversarial"].requires_grad  # D itself learns
    (found,) = torch.autograd.grad(terms["adversarial"], drawn.mean, allow_unused=True)
    assert (found is not None) == (model == "stackgan2")
    torch.testing.assert_close(terms["kl"], 2 * losses.kullback_leibler(drawn.mean, drawn.log_variance))


@pytest.mark.parametrize("model", ["stackgan-res", "stackgan-stage2", "stackgan2"])
def test_the_generator_s_step_leaves_no_gradient_in_the_discriminators(recipe, monkeypatch, model):
    made, seen = recipe(model), {}
    original = type(made).update

    def update(self, name, loss):
        if name == "generator":
            for parameter in self.discriminators.parameters():
                parameter.grad = None
        original(self, name, loss)
        seen[name] = [parameter.grad for parameter in self.discriminators.parameters()]

    monkeypatch.setattr(type(made), "update", update)
    made.train_step(made.batch(0), 0)
    assert set(seen["generator"]) == {None} and all(g is not None and g.any() for g in seen["discriminators"])
    assert all(parameter.requires_grad for parameter in made.discriminators.parameters())


@pytest.mark.parametrize("model", ["stackgan-res", "stackgan-stage2", "stackgan2"])
def test_the_processes_of_a_data_parallel_run_share_one_batch(recipe, model):
    made = recipe(model)
    whole, parts = tensors(made.batch(3)._asdict()), []
    for made.shard in (slice(0, 2), slice(2, 4)):
        parts.append(tensors(made.batch(3)._asdict()))
    for name, value in whole.items():
        assert len(value) == 4 and torch.equal(torch.cat([part[name] for part in parts]), value), name
    assert not torch.equal(made.batch(4).noise, parts[1]["state.noise"])


def test_the_learning_rate_is_halved_after_so_many_epochs(recipe):
    made = recipe("stackgan-cnn", halve_every=2, batch_size=8)
    epoch, rates = len(made.data) // 8, []
    for step in (0, 2 * epoch - 1, 2 * epoch, 4 * epoch):
        made.train_step(made.batch(step), step)
        rates.append(made.optimizers["generator"].param_groups[0]["lr"] / made.config.learning_rate)
    assert rates == [1, 1, 0.5, 0.25]
    for model in configs.STAGE_ONE:  # in the report N is the run's own length
        assert configs.PAPER[model, "cub"].halve_every == configs.PAPER[model, "cub"].epochs


@pytest.mark.parametrize("model", ["stackgan-se", "stackgan2"])
def test_a_run_is_measured(finished, tiny_stack, model):
    run = finished(tiny_stack(model))
    record = evaluate(run)
    metrics = record["metrics"]
    assert metrics.keys() >= METRICS | {"body_accuracy", "body_accuracy_shuffled"} and "r_precision" not in metrics
    assert json.loads((run.directory / "result.json").read_text()) == record
    torch.testing.assert_close(run.condition(CAPTIONS), run.generator.condition(run.encode(CAPTIONS)))


@pytest.mark.parametrize("model", ["stackgan-cnn", "stackgan-stage2"])
def test_one_image_is_no_batch(tiny_stack, model):
    with pytest.raises(UserError, match=rf"{model} needs at least two images.*Choose a --batch-size of 2 or more"):
        fit(tiny_stack(model, batch_size=1))


@pytest.mark.parametrize("model", ["stackgan-res", "stackgan-stage2", "stackgan2"])
def test_the_average_follows_the_live_weights(tiny_stack, model):
    """With a decay of nought it is the live weights; otherwise it lies between the first and the last."""
    state = ended(fit(tiny_stack(model, ema_decay=0.0)))
    live = state["networks"]["generator"]
    named = state["average"]
    learned = [name for name, _ in models.from_config(tiny_stack(model)).generator.named_parameters()]
    assert all(torch.equal(named[name], live[name]) for name in learned)
    averaged = ended(fit(tiny_stack(model, ema_decay=0.9), resume=False))
    name = next(name for name in learned if name.startswith("augmentation"))
    assert not torch.equal(averaged["average"][name], averaged["networks"]["generator"][name])


def test_training_goes_on_from_the_average_every_so_often(tiny_stack):
    """As StackGAN++'s code has it: the parameters, and neither the statistics nor Adam."""
    ends = {}
    for steps, every in ((2, 0), (2, 2), (3, 0), (3, 2)):
        settings = dict(ema_decay=0.9, batch_norm_statistics="running", write_back_every=every)
        ends[steps, every] = ended(fit(tiny_stack("stackgan2", steps=steps, **settings), resume=False))
    learned = [name for name, _ in models.from_config(tiny_stack("stackgan2")).generator.named_parameters()]
    written, never = ends[2, 2], ends[2, 0]
    for name in learned:
        assert torch.equal(written["networks"]["generator"][name], never["average"][name]), name
        assert torch.equal(written["average"][name], never["average"][name]), name
    name = "augmentation.fc.weight"
    assert name in learned and not torch.equal(never["networks"]["generator"][name], never["average"][name])
    assert not torch.equal(ends[3, 2]["networks"]["generator"][name], ends[3, 0]["networks"]["generator"][name])
    assert differing(written["optimizers"], never["optimizers"]) == []
    assert configs.PAPER["stackgan2", "cub"].write_back_every == 2000
    assert all(configs.PAPER[model, "cub"].write_back_every == 0 for model in (*MODELS[:-1], "attngan", "gan-cls"))


@pytest.mark.parametrize("stop", [2, 3])
def test_a_run_goes_on_to_the_same_bits_across_a_write_back(tiny_stack, stop):
    settings = dict(ema_decay=0.9, write_back_every=2)
    whole = ended(fit(tiny_stack("stackgan2", steps=5, **settings)))
    fit(tiny_stack("stackgan2", steps=stop, **settings), resume=False)
    assert differing(whole, ended(fit(tiny_stack("stackgan2", steps=5, **settings)))) == []


@pytest.mark.parametrize("model", ["stackgan-se", "stackgan-stage2"])
def test_statistics_are_measured_for_the_averaged_weights(finished, tiny_stack, recipe, model):
    run, made = finished(tiny_stack(model)), recipe(model)
    generator, seen = copy.deepcopy(run.generator).train(), []
    norm = generator.ups[1][1]
    norm.register_forward_hook(lambda _, given, out: seen.append(given[0].mean(dim=(0, 2, 3))))
    made.recalibrate(generator)
    assert len(seen) == BATCHES and not generator.training
    torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(dim=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_mean, run.generator.ups[1][1].running_mean)  # as fit left it


@pytest.mark.parametrize("model", ["stackgan-se", "stackgan-stage2", "stackgan2"])
def test_mixed_precision_trains(tiny_stack, model):
    run = fit(tiny_stack(model, precision="bf16-mixed"))
    assert all(torch.isfinite(part).all() for part in tensors(run.state["average"]).values())


def test_a_set_without_classes_is_trained_on(without_classes, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    little = dict(steps=1, batch_size=4)
    encoder = fit(configs.load("char-cnn-rnn", str(without_classes), "smoke", **little)).directory
    for model in ("stackgan-cnn", "stackgan2"):
        config = configs.load(model, str(without_classes), "smoke", text_encoder=str(encoder), **little)
        assert fit(config).state["step"] == 1


@pytest.fixture(scope="module")
def cub_runs(samples, tmp_path_factory):
    """A folder of runs with an encoder of one step on real birds."""
    folder = tmp_path_factory.mktemp("cub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(folder))
        fit(configs.load("char-cnn-rnn", "cub", "smoke", root=str(samples("cub10")), steps=1, batch_size=8))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_real_photographs_train_sample_and_evaluate(samples, cub_runs, model, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(cub_runs))
    where = ["--dataset", "cub", "--root", str(samples("cub10")), "--profile", "smoke"]
    reads = ["--text-encoder", str(cub_runs / "char-cnn-rnn-cub-smoke-s0")]
    extra = ["--stage1", str(cub_runs / "stackgan-res-cub-smoke-s0")] if model == "stackgan-stage2" else []
    for steps in ("1", "2"):  # and resumed
        assert main(["train", "--model", model, *where, *reads, *extra, "--steps", steps, "--batch-size", "4"]) == 0
    directory, sheet = cub_runs / f"{model}-cub-smoke-s0", cub_runs / f"{model}.png"
    assert main(["sample", "--run", str(directory), "a red bird", "this bird", "--out", str(sheet)]) == 0
    assert main(["evaluate", "--run", str(directory)]) == 0
    record = json.loads((directory / "result.json").read_text())
    assert record["steps"] == 2 and record["metrics"].keys() >= METRICS and record["metrics"]["fid"] > 0
    assert sheet.stat().st_size > 1000
