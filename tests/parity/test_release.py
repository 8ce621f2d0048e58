"""A release in the official layout, made by the recipe, goes the whole way: imported, and drawn from by a command."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from recipe import fill

from t2i import official
from t2i.__main__ import main
from t2i.data.captions import Vocabulary
from t2i.data.images import to_uint8
from t2i.training import Run

CAPTION = "a red bird with a short bill"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The files of DM-GAN's bird release: encoders, vocabulary, generator and discriminators."""
    folder = tmp_path_factory.mktemp("release")
    kinds = {
        "text_encoder200.pth": "dmgan_cub_RNN_ENCODER",
        "image_encoder200.pth": "dmgan_CNN_ENCODER",
        "bird_DMGAN.pth": "dmgan_cub_G_NET",
        **{f"netD{k}.pth": f"dmgan_cub_D_NET{64 << k}" for k in range(3)},
    }
    for name, kind in kinds.items():
        torch.save(fill(kind, "fanin"), folder / name)
    words = [Vocabulary.END, *CAPTION.split()[:3], *(f"word{k}" for k in range(official.VOCABULARIES["cub"]))]
    words = list(dict.fromkeys([*words[:4], *CAPTION.split(), *words[4:]]))[: official.VOCABULARIES["cub"]]
    numbered = dict(enumerate(words))
    content = [[[1, 2]], [[1, 2]], numbered, {word: number for number, word in numbered.items()}]
    (folder / "captions.pickle").write_bytes(pickle.dumps(content, protocol=2))
    return folder


@pytest.fixture
def imported(release, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    for kind, name in (("dmgan_cub_RNN_ENCODER", "text_encoder200.pth"), ("dmgan_cub_G_NET", "bird_DMGAN.pth")):
        assert main(["import", kind, str(release / name)]) == 0, capsys.readouterr().err
    return Run.load(tmp_path / "runs" / "dmgan_cub_G_NET")


def test_an_imported_generator_draws_what_the_official_network_draws(imported, release, tmp_path):
    assert (
        main(["sample", CAPTION, "--run", str(imported.directory), "--count", "2", "--out", str(tmp_path / "x.png")])
        == 0
    )
    drawn = np.asarray(Image.open(tmp_path / "x.png"))
    generator = official.load("dmgan_cub_G_NET", release / "bird_DMGAN.pth")
    noise, eps = imported.noise(2, seed=0)
    with torch.no_grad():
        text = imported.encoder.features([CAPTION, CAPTION])
        wanted = to_uint8(generator(noise, text, eps).images[-1])
    assert drawn.shape == (256, 2 * 256 + 2, 3)
    for k, picture in enumerate(wanted):
        found = drawn[:, k * 258 : k * 258 + 256].transpose(2, 0, 1).astype(int)
        assert np.abs(found - picture.numpy()).max() <= 1
    assert wanted.float().std() > 1  # not one grey


def test_the_whole_release_came_along(imported):
    assert imported.config.mask == "official" and len(imported.encoder.vocabulary) == 5_450
    judge = imported.discriminators[2]
    assert judge.features(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 4, 4)
    assert imported.image_encoder(torch.zeros(1, 3, 64, 64)).code.shape == (1, 256)


def test_without_its_text_encoder_a_generator_is_not_imported(release, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    assert main(["import", "dmgan_cub_G_NET", str(release / "bird_DMGAN.pth")]) == 1
    said = capsys.readouterr().err
    assert "a generator reads with its own text encoder" in said and "import dmgan_cub_RNN_ENCODER" in said
    assert not (tmp_path / "runs" / "dmgan_cub_G_NET").exists()


def test_a_discriminator_alone_is_not_imported(release, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    assert main(["import", "dmgan_cub_D_NET64", str(release / "netD0.pth")]) == 1
    assert "comes along with its generator" in capsys.readouterr().err
