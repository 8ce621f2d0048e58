"""One truth for a seed: the same weights whatever came before, on whatever machine, and weights that stay usable."""

import json
import subprocess
import sys

import pytest
import torch
from states import differing
from torch import nn

from t2i import aviarynet, checkpoint, device
from t2i import config as configs
from t2i.training import Run, fit
from t2i.training.char_cnn_rnn import CharCnnRnnRecipe

FRESH = """
import json, sys
from pathlib import Path
from t2i import config as configs
from t2i.training import fit
for model, values in json.load(sys.stdin).items():
    fit(configs.from_dict(values), directory=Path(sys.argv[1]) / model)
"""


@pytest.fixture
def kinds(tiny, tiny_stack, tiny_stages, tiny_damsm, coco_root):
    """A config of two steps for every kind of model, by its name."""
    root, short = tiny().root, dict(steps=2)
    characters = configs.load("char-cnn-rnn", "aviary", "smoke", root=root, **short)
    captions = configs.load("char-cnn-rnn-icml", "coco", "smoke", root=str(coco_root), batch_size=4, **short)
    found = [characters, captions, tiny_damsm(**short), tiny(**short)]
    found += [tiny_stack(model) for model in ("stackgan-res", "stackgan-stage2", "stackgan2")]
    found += [tiny_stages(model) for model in ("attngan", "msmt-gan")]
    assert {type(config) for config in found} == {type(config) for config in configs.PAPER.values()}
    return {config.model: config for config in found}


def other_work(config, directory):
    """What a notebook may do between two trainings."""
    torch.manual_seed(123)
    torch.rand(1000)
    aviarynet.load.cache_clear()
    aviarynet.load()
    fit(config, directory=directory).sample(["a red bird"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_whatever_came_before(kinds, tiny, tmp_path):
    def train(model, time):
        fit(kinds[model], directory=tmp_path / time / model)

    for model in kinds:
        train(model, "first")
    other_work(tiny(seed=5, steps=1), tmp_path / "other")
    for model in reversed(kinds):
        train(model, "second")
    given = json.dumps({model: config.to_dict() for model, config in reversed(kinds.items())})
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path / "fresh")], input=given, text=True, check=True)
    for model in kinds:
        first, second, fresh = (
            checkpoint.read(tmp_path / time / model / "checkpoint.pt") for time in ("first", "second", "fresh")
        )
        assert differing(first, second) == [], model
        assert differing(first, fresh) == [], model


@pytest.mark.slow
def test_an_encoder_of_another_precision_is_taken_as_it_is(little_aviary, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    given = dict(root=str(little_aviary), device="cpu")
    encoder = fit(configs.load("char-cnn-rnn", "aviary", "smoke", precision="bf16-mixed", **given))
    monkeypatch.setattr(CharCnnRnnRecipe, "train_step", lambda *_: pytest.fail("trained again"))
    small = dict(steps=1, batch_size=4, generator_width=4, discriminator_width=4)
    run = fit(configs.load("gan-cls", "aviary", "smoke", **small, **given))
    assert (run.config.precision, run.encoders.config.precision) == ("32-true", "bf16-mixed")
    assert torch.equal(run.encoder.emb_proj.weight, encoder.encoder.emb_proj.weight)


@pytest.mark.parametrize("model", ["gan-cls", "attngan"])
def test_weights_can_be_trained_after_sampling(tiny, tiny_stages, monkeypatch, model):
    """Emulates another device, whose moves make new tensors; the caller's inference mode is not to matter either."""
    run = Run.load(fit((tiny if model == "gan-cls" else tiny_stages)(model, steps=1)).directory)
    monkeypatch.setattr(nn.Module, "to", lambda module, *_: module._apply(torch.clone))
    with torch.inference_mode():
        run.sample(["a red bird"])
    for module in (run.encoder, run.generator):
        assert not any(tensor.is_inference() for tensor in [*module.parameters(), *module.buffers()])
        module.requires_grad_(True)
    text = run.encoder.train().features(["a red bird", "a blue bird"])
    images = run.generator.train()(torch.randn(2, run.generator.noise_size), text).images
    images[-1].sum().backward()
    assert all(parameter.grad is not None for parameter in [*run.encoder.parameters()])


def test_auto_is_decided_where_a_run_begins_and_stays(tiny, monkeypatch):
    monkeypatch.setattr(device, "_cpu_has_bfloat16", lambda: True)
    run = fit(tiny(precision="auto", device="cpu", steps=2))
    assert (run.config.precision, run.state["asked"]["precision"]) == ("bf16-mixed", "auto")
    monkeypatch.setattr(device, "_cpu_has_bfloat16", lambda: False)
    assert device.resolve_precision("auto", "cpu") == "32-true"
    again = fit(tiny(precision="auto", device="cpu", steps=3))
    assert (again.config.precision, again.state["step"], again.state["asked"]["precision"]) == ("bf16-mixed", 3, "auto")
    assert fit(tiny(precision="auto", device="cpu", steps=1), resume=False).config.precision == "32-true"


@pytest.mark.parametrize(("precision", "rounded"), [("tf32", True), ("32-true", False), ("bf16-mixed", False)])
def test_float32_is_rounded_to_tf32_only_where_it_is_asked_for(precision, rounded):
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    for place in places:
        place.allow_tf32 = not rounded
    try:
        device.start("cpu", precision)
        assert [place.allow_tf32 for place in places] == [rounded, rounded]
    finally:
        device.start("cpu", "32-true")
