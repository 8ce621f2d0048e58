"""DAMSM against the values and gradients of the official code: both encoders, the losses, and all of it in one."""

import pytest
import torch
from recipe import compare, fill, golden, make_captions, make_input

from t2i import losses, official
from t2i.models.blocks import parameter_count
from t2i.text import ImageFeatures, TextFeatures

RNN, CNN = golden("RNN_ENCODER"), golden("CNN_ENCODER")
LOSSES, WHOLE = golden("losses_attngan"), golden("DAMSM_end_to_end")
PRECISIONS = {"float": ("outputs", 2e-5), "double": ("outputs_fp64", 1e-6)}
CNN_KIND = "attngan_CNN_ENCODER"


def encoder(kind: str, scale: str) -> torch.nn.Module:
    return official.load(kind, fill(kind, scale))


@pytest.mark.parametrize("run", RNN["runs"], ids=lambda r: f"{r['rnn_type']}-{r['wscale']}-{max(r['cap_lens'])}")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_text_encoder(run, precision):
    kind = "attngan_cub_RNN_ENCODER" if run["rnn_type"] == "LSTM" else "attngan_RNN_ENCODER_gru"
    text = encoder(kind, run["wscale"])
    total = sum(tensor.double().abs().sum().item() for tensor in text.state_dict().values())
    assert total == pytest.approx(run["sum_abs_weights"], rel=1e-6)
    captions = make_captions(run["cap_lens"], 18)  # wider than the longest caption in every other run
    shuffled = torch.tensor([3, 0, 4, 1, 2])  # the official code insists on falling lengths; ours does not
    recorded, tolerance = PRECISIONS[precision]
    with torch.no_grad():
        found = getattr(text, precision)()(captions[shuffled], torch.tensor(run["cap_lens"])[shuffled])
    found = found.select(shuffled.argsort())
    compare(found.words, run[recorded]["words_emb"], tolerance)
    compare(found.sentence, run[recorded]["sent_emb"], tolerance)
    assert torch.equal(found.mask, captions[:, : max(run["cap_lens"])] == 0)


@pytest.mark.parametrize("run", CNN["runs"], ids=lambda r: f"{r['wscale']}-{r['mode']}-{r['align_corners']}")
def test_image_encoder(run):
    image = encoder(CNN_KIND, run["wscale"]).train(run["mode"] == "train")
    image.align_corners = run["align_corners"]
    taps = {name.removeprefix("tap:"): wanted for name, wanted in run["outputs"].items() if name.startswith("tap:")}
    seen = {}
    for name in taps:
        image.trunk.get_submodule(name).register_forward_hook(lambda *call, name=name: seen.update({name: call[2]}))
    with torch.no_grad():
        found = image(make_input("x", **CNN["inputs"]["x"]))
    compare(found.regions, run["outputs"]["features"], 1e-4)
    compare(found.code, run["outputs"]["cnn_code"], 1e-4)
    for name, wanted in taps.items():
        compare(seen[name], wanted, 1e-4)


def given(recorded: dict, *names: str) -> list[torch.Tensor]:
    return [make_input(name, **recorded["inputs"][name]) for name in names]


def padding(lengths: list[int]) -> torch.Tensor:
    return torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("masked", [True, False], ids=["cls", "nocls"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_and_their_gradients(masked, precision):
    recorded, tolerance = PRECISIONS[precision]
    wanted, suffix = LOSSES["runs"][0][recorded], "cls" if masked else "nocls"
    leaves = [
        getattr(part, precision)().requires_grad_()
        for part in given(LOSSES, "img_features", "words_emb", "cnn_code", "rnn_code")
    ]
    regions, words, code, sentence = leaves
    text = TextFeatures(words, sentence, padding(LOSSES["cap_lens"]))
    classes = torch.tensor(LOSSES["class_ids"]) if masked else None
    terms = losses.damsm(ImageFeatures(regions, code), text, classes, losses.Gammas(*LOSSES["gammas"].values()))
    names = ["words_loss0", "words_loss1", "sent_loss0", "sent_loss1"]
    for name, term in zip(names, terms, strict=True):
        compare(term, wanted[f"{name}_{suffix}"], tolerance)
    gradients = torch.autograd.grad(sum(terms), leaves)
    for name, gradient in zip(["img_features", "words_emb", "cnn_code", "rnn_code"], gradients, strict=True):
        compare(gradient, wanted[f"grad_{name}_{suffix}"], tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_attention(precision):
    recorded, tolerance = PRECISIONS[precision]
    wanted, sharpness = LOSSES["runs"][0][recorded], LOSSES["gammas"]["g1"]
    query, context, regions, words = (
        getattr(part, precision)() for part in given(LOSSES, "query", "context", "img_features", "words_emb")
    )
    contexts, attention = losses.region_attention(query, None, context.flatten(2), sharpness)
    own = torch.arange(len(query))
    compare(contexts[own, own].transpose(1, 2), wanted["func_attention_weightedContext"], tolerance)
    maps = attention[own, :, own].transpose(1, 2).unflatten(2, context.shape[2:])
    compare(maps, wanted["func_attention_attn"], tolerance)
    for caption in (0, 5):
        length = LOSSES["cap_lens"][caption]
        one = words[caption : caption + 1, :, :length]
        _, attention = losses.region_attention(one, None, regions[caption : caption + 1].flatten(2), sharpness)
        compare(attention[:, :, 0].transpose(1, 2).unflatten(2, (17, 17)), wanted[f"words_att_{caption}"], tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_reach_the_picture_through_everything(precision):
    recorded, _ = PRECISIONS[precision]
    run = WHOLE["runs"][0]
    image = getattr(encoder(CNN_KIND, "he"), precision)()
    total = sum(tensor.double().abs().sum().item() for tensor in image.state_dict().values())
    assert total == pytest.approx(run["sum_abs_weights"], rel=1e-6)
    coarse, noise, sentence, words = given(WHOLE, "xlow", "xnoise", "sent_emb", "words_embs")
    picture = coarse.repeat_interleave(64, dim=2).repeat_interleave(64, dim=3) + noise
    picture, sentence, words = (getattr(part, precision)() for part in (picture, sentence, words))
    picture.requires_grad_()
    text = TextFeatures(words, sentence, padding(WHOLE["cap_lens"]))
    seen = image(picture)
    terms = losses.damsm(seen, text, torch.tensor(WHOLE["class_ids"]), losses.Gammas(*WHOLE["gammas"].values()))
    found = dict(zip(["w0", "w1", "s0", "s1"], terms, strict=True))
    found |= {"features": seen.regions, "cnn_code": seen.code}
    found["grad_x"] = torch.autograd.grad(sum(terms), picture)[0]
    for name, value in found.items():
        noise_floor = 20 * run["fp64_rel_l2"][name]  # float32 against float64, in the official code itself
        compare(value, run[recorded][name], 1e-6 if precision == "double" else max(1e-5, noise_floor))


@pytest.mark.parametrize(("kind", "count"), [
    ("attngan_cub_RNN_ENCODER", 2_075_320),
    ("dmgan_coco_RNN_ENCODER", 8_629_420),
    ("dmgan_RNN_ENCODER_gru", 1_635_000 + 330_240),
])  # fmt: skip
def test_text_parameter_counts(kind, count):
    assert parameter_count(official.empty(kind)) == count


def test_image_parameter_counts():
    image = official.empty(CNN_KIND)
    assert (parameter_count(image), parameter_count(image, trainable=True)) == (22_506_720, 721_152)
