import dataclasses

import pytest

from t2i import config as configs
from t2i.errors import UserError

EVERYTHING = [(m, d, p) for m in configs.MODELS for d in (*configs.DATASETS, "folder") for p in configs.PROFILE_NAMES]


@pytest.mark.parametrize(("model", "dataset", "profile"), EVERYTHING)
def test_a_profile_changes_scale_knobs_only(model, dataset, profile):
    config = configs.load(model, dataset, profile)
    assert {name for name, _, _ in configs.difference(config)} <= configs.SCALE_KNOBS
    assert (configs.difference(config) == []) == (profile == "paper")


@pytest.mark.parametrize(("model", "dataset", "profile"), EVERYTHING)
def test_a_config_survives_json(model, dataset, profile):
    config = configs.load(model, dataset, profile, seed=3)
    assert configs.from_dict(config.to_dict()) == config


def test_paper_values_are_the_published_ones():
    encoder, gan = configs.PAPER["char-cnn-rnn", "cub"], configs.PAPER["gan-cls", "cub"]
    assert (encoder.batch_size, encoder.learning_rate, encoder.decay_per_epoch, encoder.epochs) == (40, 7e-4, 0.98, 200)
    assert (gan.batch_size, gan.learning_rate, gan.halve_every, gan.epochs) == (64, 2e-4, 100, 600)
    assert (gan.noise_size, gan.text_size, gan.captions_averaged, gan.image_size) == (100, 128, 4, 64)
    coco = configs.PAPER["gan-cls-int", "coco"]
    assert (coco.generator_width, coco.captions_averaged, coco.halve_every, coco.interpolation_weight) == (
        196,
        3,
        40,
        1,
    )


@pytest.mark.parametrize("dataset", [*configs.DATASETS, "folder"])
def test_damsm_s_paper_values_are_those_of_attngan_s_code(dataset):
    config = configs.PAPER["damsm", dataset]
    coco = dataset == "coco"
    assert (config.epochs, config.words, config.captions_per_image) == ((100, 15, 5) if coco else (200, 18, 10))
    assert (config.batch_size, config.learning_rate, config.decay_per_epoch) == (48, 2e-3, 0.98)
    assert (config.clip_norm, config.image_size, config.crop, config.resize) == (0.25, 299, "box", "shorter")
    assert (config.gamma_attention, config.gamma_words, config.gamma_matching) == (4, 5, 10)
    assert (config.rnn, config.trunk, config.class_mask, config.trials) == ("LSTM", "inception-v3", True, 30_000)


def test_every_field_of_a_model_names_its_source():
    for kind in (configs.CharCnnRnnConfig, configs.DamsmConfig, configs.GanClsConfig):
        own = set(kind.__annotations__)
        assert all(
            f.metadata.get("source") or f.name == "evaluation_protocol"
            for f in dataclasses.fields(kind)
            if f.name in own
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gan", "cub", "smoke"), "no model called 'gan'"),
        (("gan-cls", "birds", "smoke"), "no dataset called 'birds'"),
        (("gan-cls", "cub", "fast"), "no profile called 'fast'.*smoke, cpu, gpu, paper"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        configs.load(*arguments)


def test_an_unknown_setting_is_refused():
    with pytest.raises(UserError, match=r"setting of gan-cls called 'batchsize'.*batch_size"):
        configs.load("gan-cls", batchsize=3)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"trunk": "vgg"}, "There is no trunk called 'vgg'. Choose one of: inception-v3, small."),
        ({"rnn": "RNN"}, "There is no rnn called 'RNN'. Choose one of: LSTM, GRU."),
    ],
)
def test_unknown_choices_are_refused(setting, sentence):
    with pytest.raises(UserError) as refused:
        configs.load("damsm", "cub", "smoke", **setting)
    assert str(refused.value) == sentence


def test_a_folder_gives_its_name_to_the_run(tmp_path):
    (tmp_path / "boats").mkdir()
    config = configs.load("gan-cls", str(tmp_path / "boats"), "smoke")
    assert config.dataset == "folder" and config.root == str(tmp_path / "boats")
    assert config.name == "gan-cls-boats-smoke-s0"


def test_roots_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    assert configs.load("gan-cls", "cub", "smoke").root == str(tmp_path / "cub")
    assert configs.load("gan-cls", "aviary", "cpu", image_size=256).root == str(tmp_path / "aviary-256")
