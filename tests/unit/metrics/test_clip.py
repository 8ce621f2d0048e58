"""R-precision by CLIP: networks of OpenAI's layout, read from files, and what they are shown."""

import sys

import open_clip
import pytest
import torch
from PIL import Image

from t2i import weights
from t2i.errors import UserError
from t2i.metrics import clip, table
from t2i.metrics.evaluate import Evaluation, evaluate
from t2i.metrics.protocols import Protocol


@pytest.fixture(scope="module")
def network():
    """A CLIP of one layer."""
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, patch_size=8, image_size=16)
    text = open_clip.CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(32, vision, text, quick_gelu=True)
    open_clip.convert_weights_to_fp16(network)  # as OpenAI's are
    return network.float().eval()


def script(state):
    """A TorchScript module with the tensors of ``state`` under their names."""
    root = torch.nn.Module()
    for name, value in state.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            if part not in dict(place.named_children()):
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part)
        place.register_buffer(last, value)
    return torch.jit.script(root)


@pytest.fixture
def run(tiny, finished):
    """A generator that reads sentences."""
    return finished(tiny(steps=2))


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "ViT.pt"
    torch.save(network.state_dict(), path)
    return path


def test_the_network_of_the_file_sees_and_reads(network, file):
    loaded, texts = clip.load(file), ["a red bird", "A yellow bird, with black wings; " * 40]
    pictures = torch.randint(256, (3, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = open_clip.image_transform(16, is_train=False)
    shown = torch.stack([whole(Image.fromarray(p.permute(1, 2, 0).numpy())) for p in pictures])
    with torch.no_grad():
        torch.testing.assert_close(loaded.see(pictures), network.encode_image(shown), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(loaded.encode(texts), network.encode_text(open_clip.tokenize(texts)))


def test_torchscript_as_openai_released_it_gives_the_same(network, file, tmp_path):
    archive = tmp_path / "ViT-B-32.pt"
    state = {**network.state_dict(), "input_resolution": torch.tensor(16), "context_length": torch.tensor(77)}
    script(state).save(str(archive))
    torch.testing.assert_close(clip.load(archive).encode(["a bird"]), clip.load(file).encode(["a bird"]))
    assert clip.load(archive).digest != clip.load(file).digest  # of the file, which tables tell judges by


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_is_no_clip_is_refused_by_its_name(content, tmp_path):
    (tmp_path / "clip.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"clip\.pt"):
        clip.load(tmp_path / "clip.pt")


def test_other_weights_a_folder_and_nothing_are_refused(tmp_path, monkeypatch):
    torch.save({"embedding.weight": torch.zeros(3, 4)}, tmp_path / "damsm.pt")
    with pytest.raises(UserError, match=r"damsm\.pt holds no CLIP"):
        clip.load(tmp_path / "damsm.pt")
    with pytest.raises(UserError, match="is a folder"):
        clip.load(tmp_path)
    with pytest.raises(UserError, match="is missing"):
        clip.load(tmp_path / "nothing.pt")
    monkeypatch.setitem(sys.modules, "open_clip.model", None)
    with pytest.raises(UserError, match="pip install"):
        clip.load(tmp_path / "others.pt")


def test_without_a_path_the_released_file_is_looked_for_and_checked(file, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / weights.CLIP.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="is not the released file"):
        clip.load()


class Oracle(torch.nn.Module):
    """It knows which number stands in a picture's pixels, and in which caption."""

    digest, place = "oracle00", torch.device("cpu")

    def __init__(self, captions):
        super().__init__()
        self.register_buffer("nothing", torch.zeros(1))
        self.numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}

    def see(self, pictures):
        return self.code(pictures[:, 0, 0, 0].long() * 256 + pictures[:, 1, 0, 0])

    def encode(self, texts):
        return self.code(torch.tensor([self.numbers.get(text, 65535) for text in texts]))

    def code(self, numbers):
        return torch.randn(65536, 16, generator=torch.Generator().manual_seed(0))[numbers]


def test_pictures_of_their_captions_win_and_others_do_not(run, monkeypatch):
    evaluation = Evaluation(run, Protocol("fid60-aviarynet1", "aviarynet1", 60, "pool", "body", 1, 20))
    oracle = Oracle(evaluation.captions)
    monkeypatch.setattr(clip, "load", lambda path: oracle)
    numbers = torch.tensor([oracle.numbers[caption] for caption in evaluation.captions])
    evaluation.generated = torch.stack([numbers // 256, numbers % 256, numbers * 0], dim=1)[..., None, None].byte()
    metric = table.METRICS["clip_r_precision"]
    found = metric.measure(evaluation)
    assert found["clip_r_precision_official"] == 1 and found["clip_r_precision"] > 0.9  # but for captions drawn twice
    assert found["clip_r_precision_shuffled"] < 0.2
    assert 0 <= found["clip_r_precision_real"] < 0.2  # the oracle reads nothing from photographs
    assert metric.protocol(evaluation) == "r-precision-60-clip-oracle00"


def test_it_is_measured_only_where_it_is_named(run, file):
    chosen, left_out = table.choose(run)
    assert "clip_r_precision" not in [metric.name for metric in chosen] and not left_out
    record = evaluate(run, ["clip_r_precision"], clip=file, write=False)
    assert record["protocols"]["clip_r_precision"].endswith(clip.load(file).digest)
    assert 0 <= record["metrics"]["clip_r_precision"] <= 1 and "fid" not in record["metrics"]
