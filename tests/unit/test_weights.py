"""Released weight files: found, checked by size and hash, downloaded once."""

import urllib.error
import urllib.request
from dataclasses import replace

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision.models import GoogLeNet_Weights, Inception_V3_Weights

from t2i import weights
from t2i.errors import UserError
from t2i.metrics import fidelity, protocols


def test_the_addresses_are_those_of_the_libraries():
    assert weights.INCEPTION_TF.url == URL_INCEPTION_V3
    assert weights.INCEPTION_LEGACY.url == Inception_V3_Weights.IMAGENET1K_V1.url
    assert weights.GOOGLENET.url == GoogLeNet_Weights.IMAGENET1K_V1.url
    for file in (weights.INCEPTION_TF, weights.INCEPTION_LEGACY, weights.GOOGLENET):
        assert file.sha256.startswith(file.name.removesuffix(".pth").rpartition("-")[2])


@pytest.fixture
def offline(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "hub" / "checkpoints"


def test_missing_weights_say_which_file_to_put_where(offline):
    pictures = torch.zeros(90, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(UserError) as caught:
        fidelity.score(pictures, pictures, replace(protocols.get("fid2k-inception-tf"), images=90))
    sentence = str(caught.value)
    assert str(offline / "weights-inception-2015-12-05-6726825d.pth") in sentence
    assert "95,628,359 bytes" in sentence and weights.INCEPTION_TF.sha256 in sentence and "no network" in sentence
    with pytest.raises(UserError, match=r"inception_v3_google-0cc3c7bd\.pth"):
        weights.legacy_weights()
    assert not list(offline.glob("*"))


def test_wrong_weights_are_refused(offline):
    offline.mkdir(parents=True)
    path = offline / weights.INCEPTION_TF.name
    path.write_bytes(b"half a file")
    with pytest.raises(
        UserError, match=r"6726825d\.pth is a text that begins 'half a file', and has 11 bytes instead of 95,628,359"
    ):
        weights.inception_weights()
    with pytest.raises(UserError, match="not the released file"):
        (offline / "other.pth").write_bytes(b"other")
        weights.legacy_weights(offline / "other.pth")
    with pytest.raises(UserError, match=r"nowhere\.pth is missing"):
        weights.inception_weights(offline / "nowhere.pth")


def test_weights_are_found_and_downloaded_once(offline, monkeypatch, tmp_path):
    content = b"weights"
    source = tmp_path / "served.pth"
    source.write_bytes(content)
    sha256 = "9dd37676f83254ccaf7f2cd9e2c2c29ca7da0ae8a1adf83e3c5c5a6ce0e0a7b0"
    file = weights.WeightsFile("https://example.org/small.pth", sha256, len(content))
    monkeypatch.setattr(weights, "INCEPTION_TF", file)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: source.open("rb"))
    with pytest.raises(UserError, match="sha256 differs"):
        weights.inception_weights()
    assert not list(offline.glob("*"))  # nothing half-right is left
    monkeypatch.setattr(weights, "INCEPTION_TF", replace(file, sha256=""))
    assert weights.inception_weights().read_bytes() == content
    source.unlink()
    assert weights.inception_weights() == offline / "small.pth"
