"""StackGAN's Inceptions from made checkpoints, and the reader of TensorFlow's files on two that TensorFlow wrote."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from t2i.errors import UserError
from t2i.metrics import extractors, finetuned, protocols, tf_checkpoint

WRITTEN = Path(__file__).parent / "checkpoints"  # by TensorFlow 2, in both versions
AVERAGE = "/ExponentialMovingAverage"


@pytest.mark.parametrize("name", ["version1.ckpt-5000", "version2.ckpt-5000", "version2.ckpt-5000.index"])
def test_a_checkpoint_of_tensorflow_is_read_without_it(name):
    found = tf_checkpoint.read(WRITTEN / name)
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 4)).astype(np.float32)
    assert found.keys() == {"conv0/weights", f"conv0/BatchNorm/beta{AVERAGE}", "logits/logits/biases", "alone"} | {
        "conv0/BatchNorm/beta"
    }  # global_step is no float
    assert torch.equal(found["conv0/weights"], torch.from_numpy(kernel))
    assert found["conv0/BatchNorm/beta"].tolist() == [0, 1, 2, 3] and found["alone"].item() == 2.5
    assert torch.equal(found["logits/logits/biases"], torch.zeros(600))
    assert tf_checkpoint.read(WRITTEN / name, lambda name: name == "alone").keys() == {"alone"}


@pytest.mark.parametrize("name", ["version1.ckpt-5000", "version2.ckpt-5000.index"])
def test_a_damaged_checkpoint_is_refused(name, tmp_path):
    for file in WRITTEN.iterdir():
        shutil.copy(file, tmp_path)
    whole = (tmp_path / name).read_bytes()
    for part in (whole[:-9], whole[:30], b"", whole[:-48] + bytes(40) + whole[-8:]):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(UserError, match=f"{name} cannot be read as a checkpoint of TensorFlow"):
            tf_checkpoint.read(tmp_path / name)
    shutil.copy(WRITTEN / name, tmp_path)
    if name.endswith(".index"):
        data = tmp_path / "version2.ckpt-5000.data-00000-of-00001"
        data.write_bytes(b"short")
        with pytest.raises(UserError, match="values where its shape has"):
            tf_checkpoint.read(tmp_path / name)
        data.unlink()
        with pytest.raises(UserError, match="data-00000-of-00001 is missing"):
            tf_checkpoint.read(tmp_path / name)


@pytest.mark.parametrize("copy", [bytes([17, 4]), bytes([30, 4, 0]), bytes([31, 4, 0, 0, 0])], ids="124")
def test_snappys_bytes_and_references(copy):
    """A reference of eight bytes to four bytes before reaches into what it writes; each kind counts its offset in as
    many bytes as its name."""
    assert tf_checkpoint._unsnappy(bytes([12, 3 << 2]) + b"abcd" + copy) == b"abcdabcdabcd"
    long = bytes(range(200))
    assert tf_checkpoint._unsnappy(bytes([200, 1, 60 << 2, 199]) + long) == long
    with pytest.raises(ValueError, match="damaged"):
        tf_checkpoint._unsnappy(bytes([13, 3 << 2]) + b"abcd" + copy)


# --- the networks


@pytest.fixture(scope="module")
def birds():
    """A network of 51 outputs with weights that keep its layers apart, and its variables as TensorFlow has them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = finetuned.network(51).eval()
        for name, value in net.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.01, 0.1)
            elif name.endswith("bn.bias"):
                value.normal_(0, 0.1)
    state, found = net.state_dict(), {}
    for ours, theirs in finetuned.variables(net).items():
        value = state[ours]
        found[theirs] = value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T if value.ndim == 2 else value
    return net, {name: value.contiguous() for name, value in found.items()}


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def block(pairs):
    rows = [b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs]
    return b"".join(rows) + struct.pack("<II", 0, 1)


def write_checkpoint(prefix, variables):
    """``variables`` as TensorFlow's version 2 writes them: NAME.index and NAME.data-00000-of-00001."""
    data, rows = bytearray(), [(b"", field(1, 1))]
    for name, value in sorted(variables.items()):
        shape = b"".join(field(2, field(1, size)) for size in value.shape)
        content = value.numpy().tobytes()
        entry = field(1, 1) + field(2, shape) + field(4, len(data)) + field(5, len(content))
        rows.append((name.encode(), entry))
        data += content
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    content = block(rows)
    index = block([(b"z", varint(0) + varint(len(content)))])
    handles = varint(0) + varint(0) + varint(len(content) + 5) + varint(len(index))
    footer = handles.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
    prefix.with_name(f"{prefix.name}.index").write_bytes(content + bytes(5) + index + bytes(5) + footer)


def pictures(count=3):
    return torch.randint(256, (count, 3, 40, 40), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def make(name, path):
    return extractors.load(protocols.get(f"is30k-{name}"), file=path)


@pytest.fixture
def place(birds, tmp_path, monkeypatch):
    """``place(kind)`` is where the variables were written in one of the ways that are read."""
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    variables = {f"{name}{AVERAGE}": value for name, value in birds[1].items()}
    variables |= {name: value + 1 for name, value in birds[1].items()}  # what the averages stand before

    def write(kind):
        folder = tmp_path / "data" / "inception-birds"
        folder.mkdir(parents=True)
        if kind == "checkpoint":
            write_checkpoint(folder / "model.ckpt-5000", variables)
            return folder / "model.ckpt-5000"
        if kind == "npz":
            np.savez(folder / "birds.npz", **{name: value.numpy() for name, value in variables.items()})
            return folder / "birds.npz"
        save_file(variables, folder / "birds.safetensors")
        return None  # found by itself

    return write


@pytest.mark.parametrize("kind", ["checkpoint", "npz", "safetensors"])
def test_the_logits_are_the_networks_without_the_background(birds, place, kind):
    extractor = make("inception-birds", place(kind))
    found = extractor.convert_features_tuple_to_dict(extractor(pictures()))["logits"]
    with torch.no_grad():
        shown = finetuned.resize_by_pillow(pictures(), 299).float() / 127.5 - 1
        expected = birds[0].logits(F.adaptive_avg_pool2d(birds[0].body(shown), 1).flatten(1))
    assert found.shape == (3, 50)
    torch.testing.assert_close(found, expected[:, 1:])


def test_every_convolution_has_a_variable_of_its_own(birds):
    net, variables = birds
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in net.modules())
    assert convolutions == 94 and len(variables) == 4 * convolutions + 2 == len(set(variables))
    names = finetuned.variables(net)
    assert names["body.mixed_8x8x2048b.branch3x3dbl_3a.conv.weight"] == "mixed_8x8x2048b/branch3x3dbl/Conv_2/weights"
    assert names["body.conv0.bn.running_var"] == "conv0/BatchNorm/moving_variance"


def test_missing_weights_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"empty/inception-birds holds no weights .* Put birds_valid299 there"):
        make("inception-birds", None)
    path = tmp_path / "model.ckpt-5000"
    write_checkpoint(path, {"conv0/weights": torch.ones(3, 3, 3, 32)})
    with pytest.raises(UserError, match=r"BatchNorm/.* is nothing in the file"):
        make("inception-birds", path)


def test_birds_are_not_measured_by_the_network_of_flowers(birds, tmp_path):
    write_checkpoint(tmp_path / "model.ckpt-5000", birds[1])
    said = r"logits/logits/weights is \(51, 2048\) in the file and \(21, 2048\) here.* 20 classes and a background"
    with pytest.raises(UserError, match=said):
        make("inception-flowers", tmp_path / "model.ckpt-5000")
