"""The Stage-I inside a Stage-II: where it comes from, that it never changes, and what is refused."""

import shutil

import numpy as np
import pytest
import torch
from states import ended

from t2i import checkpoint, models
from t2i import config as configs
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run, fit

CAPTIONS = ["a red bird with a long tail", "a blue bird"]


def test_stage_one_is_put_in_and_never_changes(tiny_stack, stage1_folder):
    run, first = fit(tiny_stack("stackgan-stage2")), Run.load(stage1_folder)
    for state in (run.state["networks"]["generator"], run.state["average"]):
        inside = {key.removeprefix("stage1."): value for key, value in state.items() if key.startswith("stage1.")}
        assert inside.keys() == first.generator.state_dict().keys()
        for name, parameter in first.generator.named_parameters():
            assert torch.equal(inside[name], parameter), name
    own = run.state["networks"]["generator"], tiny_stack("stackgan-stage2", seed=1)
    assert not torch.equal(own[0]["joint.0.weight"], fit(own[1]).state["networks"]["generator"]["joint.0.weight"])
    assert run.state["extras"]["stage1"] == first.config.to_dict()
    moments = ended(run)["optimizers"]["generator"]["state"]
    assert 0 < len(moments) == sum(p.requires_grad for p in models.from_config(run.config).generator.parameters())


def test_a_stage_two_folder_is_used_alone(tiny_stack, stage1_folder, tmp_path):
    first = shutil.copytree(stage1_folder, tmp_path / "first")
    run = fit(tiny_stack("stackgan-stage2", stage1=str(first)))
    drawn = run.sample(CAPTIONS)
    shutil.rmtree(first)
    run = Run.load(run.directory.rename(tmp_path / "elsewhere"))
    assert torch.equal(run.sample(CAPTIONS), drawn) and run.config.block == "residual"
    metrics = evaluate(run)["metrics"]
    assert metrics.keys() >= {"fid", "matching_accuracy", "body_accuracy", "body_accuracy_shuffled"}
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.slow
def test_stage_one_is_trained_first_where_it_is_missing(little_aviary, encoder_folder, tmp_path, monkeypatch):
    """And Stage-II begins alike whether it was there before or not."""
    given = {"root": str(little_aviary), "text_encoder": str(encoder_folder)}
    weights = []
    for order in (["stackgan-stage2"], ["stackgan-se", "stackgan-stage2"]):
        monkeypatch.setenv("T2I_RUNS", str(tmp_path / str(len(order))))
        for model in order:
            extra = {"stage1": "stackgan-se", "steps": 1} if model == "stackgan-stage2" else {}
            run = fit(configs.load(model, "aviary", "smoke", **given | extra))
        first = Run.load(tmp_path / str(len(order)) / "stackgan-se-aviary-smoke-s0")
        assert first.state["step"] == first.config.steps and run.config.block == "squeeze"
        weights.append(run.state["networks"]["generator"])
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"image_size": 32},
            r"has image_size 16, and stackgan-stage2 here stacks on 8\. Train a Stage-I with image_size",
        ),
        ({"generator_width": 16}, r"has generator_width 8, and stackgan-stage2 here stacks on 16"),
    ],
)
def test_a_stage_one_that_does_not_fit_is_refused(tiny_stack, stage1_folder, tmp_path, settings, sentence):
    with pytest.raises(UserError, match=f"{stage1_folder} {sentence}.*--stage1"):
        fit(tiny_stack("stackgan-stage2", **settings))
    assert not list((tmp_path / "runs").rglob("*.pt"))


def test_a_size_that_the_named_stage_one_has_not_is_refused_before_it_is_trained(tiny_stack, tmp_path):
    with pytest.raises(UserError, match="stackgan-res has image_size 16, and stackgan-stage2 here stacks on 32"):
        fit(tiny_stack("stackgan-stage2", stage1="stackgan-res", image_size=128))
    assert not list((tmp_path / "runs").rglob("*.pt"))


def test_block_and_encoder_follow_from_the_folder(tiny_stack, stage1_folder):
    run = fit(tiny_stack("stackgan-stage2", block="plain", text_encoder="char-cnn-rnn"))
    first = Run.load(stage1_folder).config
    assert (run.config.block, run.config.text_encoder) == ("residual", first.text_encoder)


def test_what_is_no_stage_one_is_refused(tiny_stack, encoder_folder, tmp_path):
    for stage1, said in ((encoder_folder, "is no Stage-I"), (tmp_path / "none", "is no run"), (tmp_path, "is no run")):
        with pytest.raises(UserError, match=rf"{stage1} {said}"):
            fit(tiny_stack("stackgan-stage2", stage1=str(stage1)))


def test_the_command_line_trains_a_stage_two_on_a_folder(little_aviary, stage1_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    train = ["train", "--model", "stackgan-stage2", "--root", str(little_aviary), "--profile", "smoke", "--steps", "1"]
    assert main([*train, "--batch-size", "4", "--stage1", str(stage1_folder)]) == 0
    folder = tmp_path / "stackgan-stage2-aviary-smoke-s0"
    assert checkpoint.read(folder / "checkpoint.pt")["config"]["block"] == "residual"
    assert main(["sample", "--run", str(folder), "a red bird", "--out", str(tmp_path / "x.png")]) == 0
    assert main([*train, "--no-resume", "--stage1", str(tmp_path / "none")]) == 1
    assert "none is no run folder" in capsys.readouterr().err
    assert main(["train", "--model", "stackgan-cnn", "--stage1", "stackgan-se", "--profile", "smoke"]) == 1
    assert "no setting of stackgan-cnn called 'stage1'" in capsys.readouterr().err
