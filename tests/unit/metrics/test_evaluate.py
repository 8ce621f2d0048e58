"""The record of a generator that was trained with DAMSM: what is in it, and what is left out."""

import json

import numpy as np

from t2i import checkpoint
from t2i.__main__ import main
from t2i.metrics import encoders
from t2i.metrics.evaluate import evaluate
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


def test_r_precision_follows_the_captions(tiny_stages, monkeypatch):
    """Each picture is judged by its own caption and by one dealt to it, as in two evaluations that read all anew."""
    asked, read = [], []
    of_pictures, encode = encoders.of_pictures, encoders.encode
    monkeypatch.setattr(encoders, "of_pictures", lambda *given, dealt: asked.append((given, dealt)) or {})
    evaluate(fit(tiny_stages()))
    (((codes, captions, classes, text, unseen, seed), dealt),) = asked
    others = [captions[k] for k in dealt]
    assert codes.shape == (200, 256) and sorted(dealt) == list(range(200)) and (dealt != np.arange(200)).all()

    perfect = encode(text, captions)
    monkeypatch.setattr(encoders, "encode", lambda text, texts: read.extend(texts) or encode(text, texts))
    metrics = of_pictures(perfect, captions, classes, text, unseen, seed, dealt)
    assert len(read) == 200 + sum(len(example.captions) for example in unseen.examples)
    own = of_pictures(perfect, captions, classes, text, unseen, seed)
    shuffled = of_pictures(perfect, others, classes[dealt], text, unseen, seed)
    assert metrics == own | {"r_precision_shuffled": shuffled["r_precision"]}
    assert metrics["r_precision"] > 0.9 > 0.2 > metrics["r_precision_shuffled"]
