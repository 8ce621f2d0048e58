"""A small Aviary and a tiny GAN on it: a run of a few steps takes about a second."""

import pytest

from t2i import config as configs
from t2i.data import aviary

TINY = dict(steps=8, batch_size=8, generator_width=8, discriminator_width=8, log_every=2, checkpoint_every=4)


@pytest.fixture(scope="session")
def little_aviary(tmp_path_factory):
    root = tmp_path_factory.mktemp("birds") / "aviary"
    aviary.write(root, size=48, images_per_species=3)
    return root


@pytest.fixture(scope="session")
def encoder_folder(little_aviary, tmp_path_factory):
    """A text encoder of two steps, which every GAN below uses."""
    from t2i.training import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("encoder")))
        return fit(configs.load("char-cnn-rnn", "aviary", "smoke", root=str(little_aviary), steps=2)).directory


@pytest.fixture
def tiny(little_aviary, encoder_folder, tmp_path, monkeypatch):
    """``tiny(model, **overrides)`` is a config whose run folder is the test's own."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))

    def config(model: str = "gan-cls", **overrides):
        settings = TINY | {"root": str(little_aviary), "text_encoder": str(encoder_folder)} | overrides
        return configs.load(model, "aviary", "smoke", **settings)

    return config
