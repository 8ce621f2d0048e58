"""Char-CNN-RNN against the values of the published PyTorch port, in float32 and float64."""

import pytest
import torch
from recipe import compare, fill, golden

from t2i import official
from t2i.text.char_cnn_rnn import CharCnnRnn

RECORDED = golden("char_cnn_rnn")
PRECISIONS = [("float", "outputs", 1e-4), ("double", "outputs_fp64", 1e-8)]
RUNS = {f"{run['dataset']}-{run['model_type']}-{run['wscale']}": run for run in RECORDED["runs"]}
COUNTS = {"birds-cvpr": 1_814_144, "birds-icml": 4_045_184, "flowers-icml": 2_994_560}


def encoder_of(run: dict) -> CharCnnRnn:
    kind = f"char_cnn_rnn_{run['dataset']}_{run['model_type']}"
    return official.load(kind, fill(kind, run["wscale"]))


def taps(encoder: CharCnnRnn, texts: list[str]) -> dict[str, torch.Tensor]:
    """The embedding, and the state that enters the linear map."""
    seen = {}
    hook = encoder.rnn.register_forward_hook(lambda _, inputs, output: seen.update(rnn=output, steps=inputs[0]))
    seen["emb"] = encoder.encode(texts)
    hook.remove()
    return seen


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("precision", "recorded", "tolerance"), PRECISIONS)
def test_values(name, precision, recorded, tolerance):
    run, encoder = RUNS[name], encoder_of(RUNS[name])
    total = sum(tensor.double().abs().sum().item() for tensor in encoder.state_dict().values())
    assert total == pytest.approx(run["sum_abs_weights"], rel=1e-6)
    with torch.no_grad():
        found = taps(getattr(encoder, precision)(), RECORDED["texts"])
    compare(found["emb"], run[recorded]["emb"], tolerance)
    compare(found["rnn"], run[recorded]["tap:rnn"], tolerance)


@pytest.mark.parametrize("name", RUNS)
def test_a_batch_gives_what_its_texts_give_alone(name):
    encoder, texts = encoder_of(RUNS[name]).double(), RECORDED["texts"]
    with torch.no_grad():
        together = encoder.encode(texts)
        alone = torch.cat([encoder.encode([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name):
    encoder = official.empty(f"char_cnn_rnn_{name.replace('-', '_')}")
    assert sum(p.numel() for p in encoder.parameters()) == COUNTS[name]
