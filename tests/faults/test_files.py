"""Foreign and damaged files, one sentence each: what the file is, and what to do about exactly that."""

import argparse
import io
import json
import os
import pickle
import shutil
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from t2i import official
from t2i.data import images
from t2i.errors import UserError

KIND = "char_cnn_rnn_birds_icml"


@pytest.fixture(scope="module")
def weights():
    """A state dict of the kind in its official layout."""
    torch.manual_seed(0)
    own = official.empty(KIND).state_dict()
    return {official.KINDS[KIND].official(key): torch.rand(value.shape) for key, value in own.items()}


class Harm:
    def __reduce__(self):
        return os.mkdir, ("/nowhere/harm",)


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(name, "x")
    return buffer.getvalue()


def tarred(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numpy_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


INDEX = json.dumps({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}).encode()
TITLE = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>"
FOREIGN = {
    "page": (TITLE, "is a web page (Google Drive - Virus scan warning), not the file", "save what comes then"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid x", "is a Git LFS pointer", "git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s5--abc", "is a git-annex pointer", "git annex get"),
    "empty": (b"", "is empty", "Copy or download it anew"),
    "zeros": (bytes(2000), "begins with zeros alone", "Copy or download it anew"),
    "zip": (zipped("netG.pth"), "is a zip archive of netG.pth", "Unpack it"),
    "tar": (tarred("netG.pth"), "is a tar archive of netG.pth", "Unpack it"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "is compressed by gzip", "Unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "is a 7z archive", "Unpack it"),
    "npz": (numpy_archive(), "is a NumPy archive of weight.npy", "release for PyTorch"),
    "npy": (b"\x93NUMPY\x01\x00", "is a NumPy array", "release for PyTorch"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file", "release for PyTorch"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.0:" + bytes(100), "is an ONNX file", "release for PyTorch"),
    "lua": (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\n" + bytes(9), "is a Torch7 file", "Convert it"),
    "tensorflow": (b'model_checkpoint_path: "model"', "is the list of TensorFlow's checkpoints", "release for PyTorch"),
    "index": (INDEX, "is the index of weights that lie in 2 other files", "part-1.safetensors"),
    "answer": (b'{"error": "Repository not found"}', "is a text that begins", "Name the file that is meant"),
    "pickle": (pickle.dumps({"a": 1}), "is a pickle that torch.save did not write", "save its tensors alone"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(20), "is a PNG picture", "Name a file that is no picture"),
    "photo": (b"\0\0\0\x18ftypheic" + bytes(20), "is a HEIC picture", "PNG or JPEG"),
    "module": (saved(torch.nn.Linear(2, 2)), "asks for torch.nn.modules.linear.Linear", "state_dict() alone"),
    "options": (saved({"opt": argparse.Namespace(a=1)}), "asks for argparse.Namespace", "state_dict() alone"),
    "harm": (saved({"a": Harm()}), "asks for posix.mkdir, which no weights need", "Trust it with no other"),
    "old harm": (saved({"a": Harm()}, _use_new_zipfile_serialization=False), "asks for posix.mkdir", "Trust it with"),
    "noise": (np.random.default_rng(0).bytes(3000), "cannot be read: it is cut short, damaged", "download it anew"),
    "cut": (half(saved({"a": torch.zeros(999)})), "cannot be read: it is cut short", "download it anew"),
    "old cut": (
        half(saved({"a": torch.zeros(999)}, _use_new_zipfile_serialization=False)),
        "cannot be read: it is cut short",
        "download it anew",
    ),
    "numbers": (saved({"epoch": 3}), "is no state dict", "state_dict() alone"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_checkpoint_is_said_to_be_what_it_is(name, said, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    content, what, mend = FOREIGN[name]
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with warnings.catch_warnings(action="error"):
        sentence = said("import", KIND, file)
    assert f"{file} " in sentence and what in sentence and mend in sentence
    assert not (tmp_path / "runs").exists()


def test_a_script_and_a_folder_are_no_weights_either(said, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pth")
    assert "is a TorchScript program" in said("import", KIND, tmp_path / "script.pth")
    assert "is a folder (script.pth). Name the file in it." in said("import", KIND, tmp_path)
    assert "does not exist. Name the downloaded .pth file." in said("import", KIND, tmp_path / "none.pth")


WRAPPED = {
    "compiled": lambda w: {f"_orig_mod.{key}": value for key, value in w.items()},
    "parallel": lambda w: {f"module.module.{key}": value for key, value in w.items()},
    "deepspeed": lambda w: {f"_forward_module.model.{key}": value for key, value in w.items()},
    "inside": lambda w: {key.replace(".", "._orig_mod.", 1): value for key, value in w.items()},
    "run": lambda w: {f"netE.module._orig_mod.encoder.{key}": value for key, value in w.items()},
    "named": lambda w: {"epoch": 3, "netE": w},
    "nested": lambda w: {"epoch": 3, "lr": 0.1, "model": {"text": WRAPPED["parallel"](w)}},
    "lightning": lambda w: {"state_dict": WRAPPED["deepspeed"](w), "hparams": {"name": "x"}, "callbacks": {}},
    "beside others": lambda w: {"netG": {"fc.weight": torch.ones(2, 2)}, "netE": w, "step": torch.tensor(5)},
    "with its optimiser": lambda w: w | {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{}]}},
    "half": lambda w: {key: value.half() for key, value in w.items()},
    "bfloat16": lambda w: {key: value.bfloat16() for key, value in w.items()},
    "double": lambda w: {key: value.double() for key, value in w.items()},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_weights_are_found_in_whatever_they_are_wrapped(name, weights, tmp_path):
    torch.save(WRAPPED[name](weights), tmp_path / "weights.pth")
    found = official.load(KIND, tmp_path / "weights.pth").state_dict()
    close = {"half": 1e-3, "bfloat16": 1e-2}.get(name, 0)
    layout = official.KINDS[KIND]
    for key, value in found.items():
        torch.testing.assert_close(value, weights[layout.official(key)], rtol=0, atol=close)


def test_safetensors_are_read_and_cut_ones_named(weights, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(weights, file)
    assert torch.equal(official.load(KIND, file).conv1.weight, weights["conv1.weight"])
    file.write_bytes(half(file.read_bytes()))
    with pytest.raises(UserError, match=r"weights\.safetensors cannot be read: it is cut short"):
        official.load(KIND, file)


def test_two_that_fit_and_none_that_fits_are_said(weights):
    with pytest.raises(UserError, match=r"holds several networks of this kind \(netE, netE_ema\)"):
        official.load(KIND, {"netE": weights, "netE_ema": weights})
    with pytest.raises(UserError, match=f"does not fit this model: .* It is of the kind {KIND}: name that"):
        official.load("attngan_cub_G_NET", weights)
    with pytest.raises(UserError, match=r"does not fit this model: .* It fits none of the kinds: char_cnn"):
        official.load(KIND, weights | {"conv1.weight": torch.ones(3, 3)})


FAULTS = {
    "nan": (lambda value: value * float("nan"), "holds values that are no finite numbers"),
    "infinite": (lambda value: value / 0, "holds values that are no finite numbers"),
    "one infinite": (lambda value: value.index_fill(0, torch.tensor([0]), float("inf")), "no finite numbers"),
    "int8": (lambda value: (value * 100).to(torch.int8), "holds numbers of type int8"),
    "bool": (lambda value: value > 0.5, "holds numbers of type bool"),
    "complex": (lambda value: value.to(torch.complex64), "holds numbers of type complex64"),
    "zero": (torch.zeros_like, "is zero throughout"),
    "sparse": (lambda value: value.to_sparse(), "no plain numbers"),
    "meta": (lambda value: value.to("meta"), "no plain numbers"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_weights_that_cannot_draw_are_refused(name, weights):
    spoil, what = FAULTS[name]
    key = next(key for key, value in weights.items() if value.ndim > 1)
    with pytest.raises(UserError, match=f"{KIND} cannot be used: {key} .*{what}"):
        official.load(KIND, weights | {key: spoil(weights[key])})


def test_an_import_of_such_weights_leaves_nothing(weights, said, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    torch.save({key: value * float("nan") for key, value in weights.items()}, tmp_path / "nan.pth")
    assert "no finite numbers" in said("import", KIND, tmp_path / "nan.pth")
    assert not (tmp_path / "runs").exists()


def test_a_run_with_such_weights_is_not_drawn_from(run, said, tmp_path):
    from t2i import checkpoint

    state = checkpoint.read(run / "checkpoint.pt")
    key = next(iter(state["average"]))
    state["average"][key] = torch.full_like(state["average"][key], float("nan"))
    checkpoint.save(run / "checkpoint.pt", state)
    sentence = said("sample", "--run", run, "a bird", "--out", tmp_path / "x.png")
    assert f"the generator cannot be used: {key} holds values that are no finite numbers" in sentence
    assert not (tmp_path / "x.png").exists()


def test_a_changed_bit_of_a_checkpoint_is_noticed(run, said, tmp_path):
    """In the middle of the file lie the numbers of a weight: no structure breaks, and torch itself sees nothing."""
    file = run / "checkpoint.pt"
    whole = bytearray(file.read_bytes())
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 30):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        sentence = said("sample", "--run", run, "a bird", "--out", tmp_path / "x.png")
        assert "checkpoint.pt cannot be read as a checkpoint: it is cut short or damaged" in sentence
    for content, what in ((b"", "checkpoint.pt is empty"), (TITLE, "is a web page"), (whole[:-50], "is cut short")):
        file.write_bytes(content)
        assert what in said("evaluate", "--run", run)


@pytest.mark.parametrize("change", [0, 1])
def test_damaged_records_settings_and_logs_are_said_or_passed_over(change, run, said, tmp_path):
    from t2i.__main__ import main

    assert main(["evaluate", "--run", str(run), "--metric", "matching"]) == 0
    for name in ("result.json", "config.json"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(half(whole) if change else whole[:1] + b"\xff\xfe" + whole[3:])
        assert name in said("evaluate", "--run", run, "--metric", "matching")
        (run / name).write_bytes(whole)
    log = run / "stats.jsonl"
    log.write_bytes(half(log.read_bytes()) if change else b"\xff" + log.read_bytes())
    assert main(["sample", "--run", str(run), "a bird", "--out", str(tmp_path / "x.png")]) == 0


def test_a_changed_bit_of_a_cache_is_noticed_and_mended(boats, said, tmp_path, monkeypatch):
    from t2i.training import fit

    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    config = boats(steps=1)
    fit(config)
    (cache,) = (tmp_path / "data" / "cache").glob("*.uint8")
    whole = cache.read_bytes()
    cache.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(UserError, match=r"\.uint8 is damaged: the picture .* is not as it was written.*decoded anew"):
        fit(config, resume=False)
    fit(config, resume=False)
    assert cache.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(30), r"\(it is a HEIC picture\)\. Save it as PNG or JPEG"),
        (TITLE, r"\(it is a web page .*\)\. Open the address in a browser"),
        (b"version https://git-lfs.github.com/spec/v1", r"\(it is a Git LFS pointer.*\)\. Fetch it: git lfs pull"),
        (b"", r"Replace the file by a whole copy"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), r"Replace the file by a whole copy"),
    ],
    ids=["heic", "page", "pointer", "empty", "cut"],
)
def test_what_is_no_picture_is_said_to_be_what_it_is(content, what, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.png cannot be read as an image .*{what}"):
        images.open_rgb(tmp_path / "a.png")


def test_a_picture_that_is_too_large_is_said_to_be_that(tmp_path, monkeypatch):
    Image.new("L", (900, 900)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image: it is too large .*Scale it down"):
        images.open_rgb(tmp_path / "a.png")


def test_a_changed_bit_of_a_png_is_right_or_said(draw_picture, tmp_path):
    file = draw_picture(tmp_path / "a.png", 20, 20)
    whole, pixels = file.read_bytes(), np.asarray(images.open_rgb(file))
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
        try:
            assert images.open_rgb(file).size == pixels.shape[:2]
        except UserError as error:
            assert str(file) in str(error)


def test_a_damaged_lesson_is_named(tmp_path):
    from t2i import course, paths

    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    lesson = shutil.copy(paths.checkout() / "notebooks" / "00_tour.ipynb", root / "notebooks")
    with open(lesson, "r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match=r"00_tour\.ipynb is no notebook \(.*Restore it"):
        course.execute(root / "notebooks" / "00_tour.ipynb", tmp_path / "out.ipynb")
