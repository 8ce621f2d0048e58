"""The record of a generator that was trained with DAMSM: what is in it, and what is left out."""

import json

import numpy as np

from t2i import checkpoint
from t2i.__main__ import main
from t2i.training import fit


def test_without_an_image_encoder_the_rest_is_measured(tiny_stages, capsys):
    directory = fit(tiny_stages()).directory
    state = checkpoint.read(directory / "checkpoint.pt")
    state["extras"]["text_encoder"]["image"] = {}  # as the import of a text encoder alone leaves it
    checkpoint.save(directory / "checkpoint.pt", state)
    assert main(["evaluate", "--run", str(directory)]) == 0
    record = json.loads((directory / "result.json").read_text())
    assert {"fid", "is_mean", "kid_mean", "matching_score", "body_accuracy"} <= record["metrics"].keys()
    assert all(np.isfinite(value) for value in record["metrics"].values())
    assert not any(name.startswith("r_precision") for name in record["metrics"])
    assert record["extra"]["r_precision"] == "left out: attngan-aviary-smoke-s0 holds no image encoder to judge with"
    said = capsys.readouterr().out
    assert f"R-precision is {record['extra']['r_precision']}. Import its text encoder with --image-encoder" in said
