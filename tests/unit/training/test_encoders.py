"""The encoder's run inside a GAN's."""

import torch

from t2i import config as configs
from t2i.training import fit


def test_a_run_begins_alike_whether_its_encoder_is_trained_with_it_or_before(little_aviary, tmp_path, monkeypatch):
    root = {"root": str(little_aviary)}
    given = {"damsm": root, "attngan": root | {"steps": 1, "batch_size": 4}}
    weights = []
    for first in (["attngan"], ["damsm", "attngan"]):
        monkeypatch.setenv("T2I_RUNS", str(tmp_path / first[0]))
        runs = [fit(configs.load(model, "aviary", "smoke", **given[model])) for model in first]
        weights.append(runs[-1].state["networks"]["generator"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
