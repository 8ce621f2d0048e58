"""The encoder's run inside a GAN's."""

import shutil

import pytest
import torch
from states import differing, ended

from t2i import config as configs
from t2i.errors import UserError
from t2i.training import fit


@pytest.mark.slow
def test_a_run_begins_alike_whether_its_encoder_is_trained_with_it_or_before(little_aviary, tmp_path, monkeypatch):
    root = {"root": str(little_aviary)}
    given = {"damsm": root, "attngan": root | {"steps": 1, "batch_size": 4}}
    weights = []
    for first in (["attngan"], ["damsm", "attngan"]):
        monkeypatch.setenv("T2I_RUNS", str(tmp_path / first[0]))
        runs = [fit(configs.load(model, "aviary", "smoke", **given[model])) for model in first]
        weights.append(runs[-1].state["networks"]["generator"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("model", "right", "wrong"),
    [
        ("gan-cls", "char-cnn-rnn", "damsm"),
        ("stackgan-cnn", "char-cnn-rnn", "damsm"),
        ("attngan", "damsm", "char-cnn-rnn"),
    ],
)
def test_another_kind_of_encoder_is_refused(
    tiny, tiny_stages, encoder_folder, damsm_folder, tmp_path, model, right, wrong
):
    folder, settings = (encoder_folder, tiny_stages) if wrong == "char-cnn-rnn" else (damsm_folder, tiny)
    with pytest.raises(UserError, match=rf"is a run of {wrong}, and {model} reads with {right}\. Name the folder"):
        fit(settings(model, text_encoder=str(folder)))
    with pytest.raises(UserError, match=f"The encoder is {wrong}, and {model} reads with {right}"):
        settings(model, text_encoder=wrong)
    assert not list((tmp_path / "runs").rglob("*.pt"))


@pytest.mark.parametrize("model", ["gan-cls", "attngan"])
def test_a_run_goes_on_without_the_folder_of_its_encoder(
    tiny, tiny_stages, encoder_folder, damsm_folder, tmp_path, model
):
    folder, settings = (encoder_folder, tiny) if model == "gan-cls" else (damsm_folder, tiny_stages)
    encoder = shutil.copytree(folder, tmp_path / "encoder")
    whole, half = (settings(model, steps=steps, text_encoder=str(encoder)) for steps in (12, 6))
    unbroken = ended(fit(whole))
    fit(half, resume=False)
    shutil.rmtree(encoder)
    run = fit(whole)
    assert run.state["step"] == 12 and differing(unbroken, ended(run)) == []
    assert not encoder.exists() and [path.name for path in (tmp_path / "runs").iterdir()] == [whole.name]
    with pytest.raises(UserError, match=f"{encoder} is no run folder"):
        fit(whole, resume=False)
