"""Released DAMSM encoders: every way they were saved, every way they can be wrong, and what becomes of them."""

import json
import os
import pickle
import re
import struct
from dataclasses import replace

import pytest
import torch

from t2i import data, official
from t2i.__main__ import main
from t2i.data.captions import Vocabulary
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run
from t2i.training.damsm import vocabulary

LSTM, GRU, CNN = "attngan_cub_RNN_ENCODER", "attngan_RNN_ENCODER_gru", "attngan_CNN_ENCODER"
RNN_KINDS = [("cub_RNN_ENCODER", 5_450), ("RNN_ENCODER_gru", 5_450), ("coco_RNN_ENCODER", 27_297)]
WORDS = Vocabulary(["a", "red", "bird"])
HALVES = [
    f"rnn.{part}_l0{way}" for way in ("", "_reverse") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
]


def released(kind: str, words: int | None = None) -> dict[str, torch.Tensor]:
    """A random state dict under the official keys."""
    layout = official.KINDS[kind]
    return {
        layout.official(key): value for key, value in layout.build(mask="official", words=words).state_dict().items()
    }


@pytest.fixture(scope="module")
def image_weights():
    weights = released(CNN)
    for name, value in weights.items():
        if name.endswith("running_var"):
            value.uniform_(0.01, 0.1)  # fresh statistics would let a signal fade on its way through the trunk
    return weights


def same(module, weights: dict, kind: str) -> bool:
    layout, own = official.KINDS[kind], module.state_dict()
    return all(torch.equal(value, weights[layout.official(key)]) for key, value in own.items())


@pytest.mark.parametrize("project", ["attngan", "dmgan"])
@pytest.mark.parametrize(("name", "words"), RNN_KINDS)
def test_text_encoders_come_back_as_they_were(project, name, words):
    kind = f"{project}_{name}"
    weights = released(kind, words)
    assert list(weights) == ["encoder.weight", *HALVES]
    assert weights["rnn.weight_ih_l0"].shape == ((384 if "gru" in kind else 512), 300)
    module = official.load(kind, {f"module.{key}": value for key, value in weights.items()})
    assert same(module, weights, kind) and not module.training and module.vocabulary is None


@pytest.mark.parametrize("kind", [CNN, "dmgan_CNN_ENCODER"])
def test_image_encoders_come_back_as_they_were(kind, image_weights):
    layout = official.KINDS[kind]
    heads = {"emb_features.weight": (256, 768, 1, 1), "emb_cnn_code.weight": (256, 2048), "emb_cnn_code.bias": (256,)}
    assert {name: tuple(value.shape) for name, value in image_weights.items() if name.startswith("emb")} == heads
    assert {"Conv2d_1a_3x3.conv.weight", "Mixed_6e.branch7x7dbl_3.bn.running_mean"} <= image_weights.keys()
    counters = {name for name in image_weights if name.endswith("num_batches_tracked")}
    assert len(counters) == 94
    older = {f"module.{name}": value for name, value in image_weights.items() if name not in counters}
    for weights in (image_weights, older):  # PyTorch before 0.4.1 kept no counters
        module = official.load(kind, weights)
        assert same(module, image_weights, kind) and not module.training
    assert all(layout.official(layout.key(name)) == name for name in image_weights)


STAGED = [kind for kind in official.KINDS if "_NET" in kind and not kind.startswith("stackgan")]
# Of each project: names in the file of a generator, and of a discriminator for 64 px or more.
NAMES = {
    "attngan": (
        "ca_net.fc.bias h_net1.fc.0.weight h_net1.fc.1.running_var h_net1.upsample4.1.weight "
        "h_net2.att.conv_context.weight h_net3.residual.1.block.4.running_mean h_net3.upsample.2.bias "
        "img_net3.img.0.weight",
        "img_code_s16.0.weight img_code_s16.9.running_var COND_DNET.jointConv.0.weight COND_DNET.jointConv.1.bias "
        "COND_DNET.outlogits.0.bias UNCOND_DNET.outlogits.0.weight",
    ),
    "dmgan": (
        "ca_net.fc.weight h_net1.upsample1.1.weight h_net2.A.weight h_net2.B.weight h_net2.M_r.0.bias "
        "h_net2.M_w.0.weight h_net3.key.0.bias h_net3.value.0.weight h_net3.response_gate.0.bias "
        "h_net3.residual.0.block.3.weight",
        "img_code_s16.6.module.weight_bar img_code_s16.0.module.bias img_code_s16.2.module.weight_u "
        "COND_DNET.jointConv.0.module.weight_v COND_DNET.outlogits.0.weight UNCOND_DNET.outlogits.0.bias",
    ),
}
LARGER = {64: [], 128: ["s32", "s32_1"], 256: ["s32", "s64", "s64_1", "s64_2"]}


def drawn(kind: str) -> dict[str, torch.Tensor]:
    """Random numbers under the official keys of a module that is too large to be initialised for a test."""
    layout = official.KINDS[kind]
    return {
        layout.official(key): torch.rand(value.shape) if value.is_floating_point() else torch.tensor(7)
        for key, value in official.empty(kind).state_dict().items()
    }


@pytest.mark.parametrize("kind", STAGED)
def test_the_names_of_staged_networks_are_the_official_ones(kind):
    layout, own = official.KINDS[kind], official.empty(kind).state_dict()
    theirs = [layout.official(key) for key in own]
    assert len(set(theirs)) == len(own) and [layout.key(name) for name in theirs] == list(own)
    generator, discriminator = NAMES[kind.split("_")[0]]
    assert set((generator if kind.endswith("G_NET") else discriminator).split()) <= set(theirs)
    assert not {name.split(".")[0] for name in theirs} & {key.split(".")[0] for key in own}  # none was passed over
    if "D_NET" in kind:
        parts = {name.split(".")[0] for name in theirs}
        wanted = {f"img_code_{name}" for name in ["s16", *LARGER[int(kind.partition("D_NET")[2])]]}
        assert parts == {"COND_DNET", "UNCOND_DNET"} | wanted


@pytest.mark.parametrize(
    "kind", ["attngan_cub_G_NET", "dmgan_cub_D_NET64", "dmgan_coco_D_NET128", "attngan_cub_D_NET64"]
)
def test_staged_networks_come_back_as_they_were(kind):
    weights = drawn(kind)
    counters = {name for name in weights if name.endswith("num_batches_tracked")}
    assert bool(counters) == (not kind.startswith("dmgan"))
    module = official.load(kind, {f"module.{name}": value for name, value in weights.items()})
    assert same(module, weights, kind) and not any(part.training for part in module.modules())
    older = {name: value for name, value in weights.items() if name not in counters}
    module = official.load(kind, older)
    assert same(module, older | {name: torch.tensor(0) for name in counters}, kind)


def test_the_mask_of_a_generator_is_chosen_and_does_not_touch_its_weights():
    kind = "attngan_cub_G_NET"
    weights = drawn(kind)
    for options, mask in (({}, "official"), ({"mask": "official"}, "official"), ({"mask": "correct"}, "correct")):
        module = official.load(kind, weights, **options)
        assert [stage.mask for stage in module.refinements] == [mask] * 2 and same(module, weights, kind)
    with pytest.raises(UserError, match=r"There is no mask called 'tiled'\. Choose one of: correct, official\."):
        official.load(kind, weights, mask="tiled")


def test_staged_networks_of_another_release_are_refused():
    weights = drawn("dmgan_cub_D_NET64")
    for other in ("dmgan_cub_D_NET128", "attngan_cub_D_NET64", "dmgan_cub_G_NET"):
        with pytest.raises(
            UserError, match=f"the state dict: {other} does not fit this model: .* in the file and .* here"
        ):
            official.load(other, weights)


def test_what_does_not_fit_is_named_as_in_the_file():
    kind, name, other = "attngan_cub_D_NET64", "UNCOND_DNET.outlogits.0.weight", "UNCOND_DNET.outlogits.0.gain"
    weights, narrow = drawn(kind), torch.zeros(3)
    wrapped = {f"module.{key}": value for key, value in (weights | {name: narrow}).items()}
    for given, said in (
        (weights | {name: narrow}, f"{name} is (3,) in the file and (1, 512, 4, 4) here"),
        (wrapped, f"module.{name} is (3,) in the file and (1, 512, 4, 4) here"),
        (weights | {other: narrow}, f"{other} is (3,) in the file and nothing here"),
        ({other if key == name else key: weights[key] for key in weights}, f"{name} is nothing in the file"),
    ):
        with pytest.raises(UserError, match=re.escape(f"the state dict: {kind} does not fit this model: {said}")):
            official.load(kind, given)


def python2(value) -> bytes:
    """The instructions with which Python 2 and PyTorch 0.3 write ``value`` (a tensor: as its storage is written)."""
    match value:
        case bool():
            return (b"\x89", b"\x88")[value]
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"U%c" % len(value) + value.encode()
        case tuple() | list():
            ends = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
            return ends[0] + b"".join(map(python2, value)) + ends[1]
        case dict():
            return b"}(" + b"".join(python2(part) for item in value.items() for part in item) + b"u"
        case torch.Tensor():
            storage = b"(" + python2("storage") + b"ctorch.cuda\nFloatStorage\n" + python2(str(id(value)))
            place = python2("cuda:0") + python2(value.numel()) + b"NtQ"
            rest = python2(0) + python2(tuple(value.shape)) + python2(value.stride())
            return b"ctorch._utils\n_rebuild_tensor\n(" + storage + place + rest + b"tR"


def python2_file(weights: dict[str, torch.Tensor]) -> bytes:
    """The whole file: a header, the state dict as an OrderedDict of a list of pairs, and the numbers after it."""
    header = pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)
    sizes = {"short": 2, "int": 4, "long": 8}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    pairs = b"ccollections\nOrderedDict\n(" + python2([[name, value] for name, value in weights.items()]) + b"tR"
    storages = [str(id(value)) for value in weights.values()]
    pickled = (b"\x80\x02" + part + b"." for part in (python2(system), pairs, python2(storages)))
    numbers = (struct.pack("<q", value.numel()) + value.numpy().tobytes() for value in weights.values())
    return b"".join([*header, *pickled, *numbers])


@pytest.mark.parametrize("way", ["zip", "legacy", "python2"])
def test_files_of_every_age_are_read(tmp_path, way):
    weights, file = released(LSTM, len(WORDS)), tmp_path / "text_encoder200.pth"
    if way == "python2":
        file.write_bytes(python2_file(weights))
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=way == "zip")
    module = official.load(LSTM, file, vocabulary=WORDS)
    assert same(module, weights, LSTM) and module.vocabulary is WORDS
    assert torch.equal(module.encode(["a bird"]), module(torch.tensor([[1, 3]]), torch.tensor([2])).sentence)


def test_another_vocabulary_names_both_sizes(tmp_path):
    file = tmp_path / "text_encoder100.pth"
    torch.save(released(LSTM, 20), file)
    for kind, given, sizes in (
        (LSTM, None, r"has 20 words and the released cub vocabulary 5,450"),
        ("dmgan_coco_RNN_ENCODER", None, r"has 20 words and the released coco vocabulary 27,297"),
        (LSTM, WORDS, r"has 20 words and the given vocabulary 4"),
    ):
        with pytest.raises(UserError, match=rf"{file.name}: the file's embedding {sizes}\. Give the captions\.pickle"):
            official.load(kind, file, vocabulary=given)


def test_weights_of_another_layout_are_named():
    weights = released(LSTM, len(WORDS))
    with pytest.raises(UserError, match=r"rnn\.bias_hh_l0 is \(512,\) in the file and \(384,\) here|rnn\..*\(384"):
        official.load(GRU, weights, vocabulary=WORDS)
    with pytest.raises(UserError, match=r"extra is \(1,\) in the file and nothing here"):
        official.load(LSTM, weights | {"extra": torch.zeros(1)}, vocabulary=WORDS)
    weights.pop("rnn.bias_hh_l0")
    with pytest.raises(UserError, match=r"rnn\.bias_hh_l0 is nothing in the file and \(512,\) here"):
        official.load(LSTM, weights, vocabulary=WORDS)
    with pytest.raises(UserError, match="does not fit this model"):
        official.load(CNN, weights)
    with pytest.raises(UserError, match=r"no kind of checkpoint called 'RNN'\. Choose one of: .*dmgan_CNN_ENCODER"):
        official.load("RNN", weights)


class Harm:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
def test_a_file_that_would_run_code_is_refused(tmp_path, modern):
    file = tmp_path / "text_encoder200.pth"
    content = released(LSTM, 4) | {"x": Harm(tmp_path / "harm")}
    torch.save(content, file, _use_new_zipfile_serialization=modern)
    with pytest.raises(UserError, match=r"text_encoder200\.pth holds more than tensors, and was not opened"):
        official.load(LSTM, file, vocabulary=WORDS)
    assert not (tmp_path / "harm").exists()


def test_what_is_no_state_dict_is_said(tmp_path):
    file = tmp_path / "x.pth"
    for content in ([torch.zeros(2)], {"epoch": 3}, {0: torch.zeros(2)}, torch.zeros(2)):
        torch.save(content, file)
        with pytest.raises(UserError, match=r"x\.pth is no state dict"):
            official.read(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"x\.pth cannot be read: it is cut short"):
        official.read(file)
    with pytest.raises(UserError, match=r"none\.pth does not exist\. Name"):
        official.read(tmp_path / "none.pth")


@pytest.fixture
def release(little_cub, image_weights, tmp_path, monkeypatch):
    """A folder as it was released, of encoders for the little CUB, which lies where the data are looked for."""
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    words = vocabulary(data.read("cub", little_cub), 10).words
    folder = tmp_path / "bird"
    folder.mkdir()
    torch.save(released(LSTM, len(words)), folder / "text_encoder200.pth")
    torch.save(image_weights, folder / "image_encoder200.pth")
    write_captions(folder / "captions.pickle", words)
    return folder


def write_captions(file, words: list[str]) -> None:
    numbers = dict(enumerate(words))
    file.write_bytes(pickle.dumps([[[1, 2]], [[1]], numbers, {word: k for k, word in numbers.items()}], protocol=2))


def test_a_release_is_imported_whole_and_measured(release, image_weights, tmp_path, capsys):
    assert main(["import", LSTM, str(release / "text_encoder200.pth")]) == 0
    folder = tmp_path / "runs" / LSTM
    assert capsys.readouterr().out.strip() == str(folder)
    run = Run.load(folder)
    assert same(run.image_encoder, image_weights, CNN) and run.config.root is None
    texts = ["a bird of kind 2", "this bird"]
    straight = official.load(LSTM, release / "text_encoder200.pth", vocabulary=run.encoder.vocabulary)
    assert torch.equal(run.encode(texts), straight.encode(texts))
    run = Run(replace(run.config, trials=40), run.state, folder)
    metrics = evaluate(run)["metrics"]
    assert metrics["chance"] == pytest.approx(1 / 6)
    assert json.loads((folder / "result.json").read_text())["extra"] == {"trunk": "inception-v3"}


def test_a_text_encoder_alone_is_imported_and_asked_to_read_later(release, capsys):
    file = release / "text_encoder200.pth"
    torch.save(released(GRU, 5_450), file)
    for name in ("captions.pickle", "image_encoder200.pth"):
        (release / name).unlink()
    run = Run.load(official.import_run(GRU, file))
    assert run.encoder(torch.tensor([[1, 2]]), torch.tensor([2])).sentence.shape == (1, 256)
    with pytest.raises(UserError, match=r"has no vocabulary\. Import it with the captions\.pickle"):
        run.encode(["a bird"])
    with pytest.raises(UserError, match="holds no image encoder"):
        _ = run.image_encoder


def test_an_image_encoder_alone_sees_and_does_not_read(release, image_weights):
    run = Run.load(official.import_run(CNN, release / "image_encoder200.pth"))
    assert same(run.image_encoder, image_weights, CNN) and run.image_encoder.align_corners
    with pytest.raises(UserError, match=r"holds no text encoder\. Import a released one as well"):
        evaluate(run)


def test_files_elsewhere_can_be_named(release, image_weights, tmp_path):
    (tmp_path / "words").mkdir()
    (release / "captions.pickle").rename(tmp_path / "words" / "my.pickle")
    (release / "image_encoder200.pth").rename(tmp_path / "words" / "my.pth")
    options = ["--captions", tmp_path / "words" / "my.pickle", "--image-encoder", tmp_path / "words" / "my.pth"]
    assert main([str(part) for part in ["import", LSTM, release / "text_encoder200.pth", *options]]) == 0
    run = Run.load(tmp_path / "runs" / LSTM)
    assert same(run.image_encoder, image_weights, CNN) and run.encoder.vocabulary.words[1:3] == ["a", "bird"]


def test_captions_of_another_release_name_both_sizes(release, tmp_path, capsys):
    write_captions(release / "captions.pickle", ["<end>", "a", "bird"])
    assert main(["import", LSTM, str(release / "text_encoder200.pth")]) == 1
    error = capsys.readouterr().err
    assert "text_encoder200.pth: the file's embedding has 20 words and the given vocabulary 3" in error
    (release / "captions.pickle").unlink()
    assert main(["import", LSTM, str(release / "text_encoder200.pth")]) == 1
    assert "has 20 words and the released cub vocabulary 5,450" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()  # nothing half-imported


def test_options_of_word_encoders_are_refused_elsewhere(tmp_path):
    with pytest.raises(UserError, match="char_cnn_rnn_birds_cvpr has no use for --captions"):
        official.import_run("char_cnn_rnn_birds_cvpr", tmp_path / "x.pth", captions=tmp_path / "captions.pickle")
