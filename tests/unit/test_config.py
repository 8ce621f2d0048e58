import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from t2i import checkpoint, paths
from t2i import config as configs
from t2i.errors import UserError

DATASETS = ("aviary", "aviary-200", "cub", "flowers", "coco", "folder")


@pytest.mark.parametrize("profile", configs.PROFILE_NAMES)
@pytest.mark.parametrize("model", configs.MODELS)
def test_a_profile_changes_scale_knobs_only_and_a_config_survives_json(model, profile):
    for dataset in DATASETS:
        config = configs.load(model, dataset, profile, seed=3)
        assert {name for name, _, _ in configs.difference(config)} <= configs.SCALE_KNOBS
        assert (configs.difference(config) == []) == (profile == "paper")
        assert configs.from_dict(json.loads(json.dumps(config.to_dict()))) == config


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


SENTENCES = "gan-cls", "gan-cls-int", *configs.STAGE_ONE, "stackgan-stage2", "stackgan2"


@pytest.mark.parametrize(
    ("dataset", "variant", "channels"),
    [
        ("aviary", "cvpr", (384, 512, 256)),
        ("folder", "cvpr", (384, 512, 256)),
        ("cub", "icml-gru", (384, 512, 512)),
        ("flowers", "icml-rnn", (384, 512, 512)),
        ("coco", "icml-gru", (384, 512, 512)),
    ],
)
def test_gans_of_sentences_read_with_the_variant_that_icml2016_names(dataset, variant, channels):
    for profile in configs.PROFILE_NAMES:
        for model in SENTENCES:
            assert configs.load(model, dataset, profile).text_encoder in configs.PROFILES["smoke"]
    needed = {configs.PAPER[model, dataset].text_encoder for model in SENTENCES}
    encoder = configs.PAPER[needed.pop(), dataset]
    assert (encoder.variant, encoder.channels) == (variant, channels) and not needed


def test_coco_s_encoder_learns_from_captions_and_for_an_epoch_of_images():
    for model in ("char-cnn-rnn", "char-cnn-rnn-icml"):
        config = configs.PAPER[model, "coco"]
        assert isinstance(config, configs.CaptionPairsConfig)
        assert (config.batch_size, config.learning_rate, config.epochs, config.halve_every) == (64, 2e-4, 200, 50)
        assert (config.variant, config.channels) == ("icml-gru", (384, 512, 512))


def test_there_are_ten_views_of_a_picture():
    assert configs.load("char-cnn-rnn", "cub").views == 10
    assert {configs.load("char-cnn-rnn", "cub", profile).views for profile in ("smoke", "cpu", "gpu")} == {1}
    with pytest.raises(UserError, match=r"views is 11\. Give a whole number from 1 to 10\."):
        configs.load("char-cnn-rnn", "cub", views=11)


@pytest.mark.parametrize("dataset", DATASETS)
def test_damsm_s_paper_values_are_those_of_attngan_s_code(dataset):
    config = configs.PAPER["damsm", dataset]
    coco = dataset == "coco"
    assert (config.epochs, config.words, config.captions_per_image) == ((100, 15, 5) if coco else (200, 18, 10))
    assert (config.batch_size, config.learning_rate, config.decay_per_epoch) == (48, 2e-3, 0.98)
    assert (config.clip_norm, config.image_size, config.crop, config.resize) == (0.25, 299, "box", "shorter")
    assert (config.gamma_attention, config.gamma_words, config.gamma_matching) == (4, 5, 10)
    assert (config.rnn, config.trunk, config.class_mask, config.trials) == ("LSTM", "inception-v3", True, 30_000)


# Width of G and of D, residual blocks, batch, epochs, λ of DAMSM, words and captions per image.
STAGES = {
    ("attngan", "cub"): (32, 64, 2, 20, 600, 5, 18, 10),
    ("attngan", "coco"): (48, 96, 3, 14, 120, 50, 12, 5),
    ("dm-gan", "cub"): (64, 32, 2, 10, 800, 5, 18, 10),
    ("dm-gan", "coco"): (64, 32, 3, 16, 200, 50, 12, 5),
    ("attndm-gan", "cub"): (64, 32, 2, 10, 504, 5, 18, 10),
    ("dmattn-gan", "cub"): (64, 32, 2, 10, 504, 5, 18, 10),
}


@pytest.mark.parametrize(("model", "dataset"), STAGES)
def test_the_paper_values_of_the_multi_stage_models(model, dataset):
    config = configs.PAPER[model, dataset]
    sizes = config.generator_width, config.discriminator_width, config.residual_blocks, config.batch_size, config.epochs
    assert (*sizes, config.damsm_weight, config.words, config.captions_per_image) == STAGES[model, dataset]
    assert config.norm == ("batch" if model == "attngan" else "spectral")
    assert (config.learning_rate, config.ema_decay, config.kl_weight) == (2e-4, 0.999, 1)
    assert (config.noise_size, config.condition_size, config.sizes) == (100, 100, (64, 128, 256))
    assert (config.gamma_attention, config.gamma_words, config.gamma_matching) == (4, 5, 10)
    assert (config.mask, config.objective, config.damsm_scales) == ("correct", "code", "last")
    assert (config.crop, config.resize, config.text_encoder) == ("box", "shorter", "damsm")


# Width of G and of D, batch, epochs, epochs until the rate is halved, size.
STACKS = {
    ("stackgan-cnn", "cub"): (128, 64, 64, 300, 300, 64),
    ("stackgan-se", "flowers"): (128, 64, 64, 300, 300, 64),
    ("stackgan-stage2", "cub"): (128, 64, 32, 300, 300, 256),
    ("stackgan-res", "coco"): (192, 96, 128, 120, 20, 64),
    ("stackgan-stage2", "coco"): (192, 96, 40, 100, 20, 256),
}


@pytest.mark.parametrize(("model", "dataset"), STACKS)
def test_the_paper_values_of_stackgan(model, dataset):
    config = configs.PAPER[model, dataset]
    widths = config.generator_width, config.discriminator_width
    length = config.batch_size, config.epochs, config.halve_every
    assert (*widths, *length, config.image_size) == STACKS[model, dataset]
    assert (config.noise_size, config.condition_size, config.kl_weight, config.learning_rate) == (100, 128, 2, 2e-4)
    assert (config.crop, config.resize, config.ema_decay) == ("box", "square", 0)
    if model == "stackgan-stage2":
        inside = ("stackgan-cnn", "plain", 2) if dataset == "coco" else ("stackgan-res", "residual", 4)
        assert (config.stage1, config.block, config.residual_blocks) == inside
    else:
        assert config.block == configs.STAGE_ONE[model]


def test_the_paper_values_of_stackgan2():
    config = configs.PAPER["stackgan2", "cub"]
    assert (config.generator_width, config.discriminator_width, config.residual_blocks) == (64, 64, 2)
    assert (config.batch_size, config.epochs, config.ema_decay, config.kl_weight) == (24, 600, 0.999, 2)
    assert (config.noise_size, config.condition_size, config.sizes) == (100, 128, (64, 128, 256))
    assert (config.crop, config.resize, config.learning_rate) == ("box", "shorter", 2e-4)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("profile", configs.PROFILE_NAMES)
def test_the_two_stages_of_a_profile_fit_together(dataset, profile):
    second = configs.load("stackgan-stage2", dataset, profile)
    first = configs.needs(second)["stage1"]
    assert first.model == ("stackgan-cnn" if dataset == "coco" else "stackgan-res")
    assert configs.following(second, first) == second
    assert second.image_size == 4 * first.image_size == 4 * second.stage1_size


def test_stage_two_takes_its_block_from_stage_one():
    for stage1, block in configs.STAGE_ONE.items():
        assert configs.load("stackgan-stage2", "cub", stage1=stage1).block == block
    with pytest.raises(UserError, match=r"stackgan-se is made of squeeze blocks, not of plain ones\. Leave block out"):
        configs.load("stackgan-stage2", "cub", stage1="stackgan-se", block="plain")
    with pytest.raises(UserError, match=r"stackgan2 is no Stage-I: neither one of stackgan-cnn, .*with --stage1\."):
        configs.load("stackgan-stage2", "cub", stage1="stackgan2")
    with pytest.raises(UserError, match=r"no block called 'dense'\. Choose one of: plain, residual, squeeze"):
        configs.load("stackgan-cnn", "cub", block="dense")


def test_stage_two_follows_the_stage_one_in_a_folder():
    """``load`` looks into no file; what the run says is taken over when it is there."""
    config = configs.load("stackgan-stage2", "cub", "smoke", stage1="/a/folder/that/may/be/gone")
    assert configs.from_dict(config.to_dict()) == config
    first = configs.load("stackgan-se", "cub", "smoke", text_encoder="/an/encoder")
    followed = configs.following(config, first)
    assert (followed.block, followed.text_encoder) == ("squeeze", "/an/encoder")
    for setting, value in (("image_size", 8), ("generator_width", 16), ("noise_size", 50), ("condition_size", 64)):
        here = config.stage1_size if setting == "image_size" else getattr(config, setting)
        said = (
            rf"gone has {setting} {value}, and stackgan-stage2 here stacks on {here}\. Train a Stage-I with {setting}"
        )
        with pytest.raises(UserError, match=said):
            configs.following(config, dataclasses.replace(first, **{setting: value}))
    for other in ("stackgan-stage2", "stackgan2", "char-cnn-rnn"):
        with pytest.raises(UserError, match="gone is no Stage-I"):
            configs.following(config, configs.load(other, "cub", "smoke"))


def test_what_a_model_needs_shares_its_data_seed_precision_and_device():
    given = dict(seed=4, root="/data", device="cpu", precision="bf16-mixed")
    for model in configs.MODELS:
        config = configs.load(model, "cub", "smoke", **given)
        wanted = {"char-cnn-rnn": None, "char-cnn-rnn-icml": None, "damsm": None, "stackgan-stage2": "stackgan-res"}
        name = wanted.get(model, "damsm" if model in configs.COMPOSITIONS else "char-cnn-rnn-icml")
        role = "stage1" if model == "stackgan-stage2" else "encoder"
        assert configs.needs(config) == ({role: configs.load(name, "cub", "smoke", **given)} if name else {})


def test_what_a_model_needs_may_be_a_folder_or_nothing():
    assert configs.needs(configs.load("attngan", text_encoder="/an/encoder")) == {"encoder": Path("/an/encoder")}
    second = configs.load("stackgan-stage2", "cub", "smoke", text_encoder="/an/encoder")
    assert configs.needs(second)["stage1"].text_encoder == "/an/encoder"
    assert configs.needs(dataclasses.replace(second, stage1="/a/stage")) == {"stage1": Path("/a/stage")}
    assert configs.needs(configs.load("gan-cls", "cub", text_encoder=configs.PUBLISHED_EMBEDDINGS)) == {}


@pytest.mark.parametrize(
    ("model", "encoder"),
    [
        ("gan-cls", "damsm"),
        ("attngan", "char-cnn-rnn"),
        ("attngan", "char-cnn-rnn-icml"),
        ("attngan", "published-embeddings"),
    ],
)
def test_an_encoder_that_a_model_cannot_read_with_is_refused(model, encoder):
    with pytest.raises(UserError, match=rf"The encoder is {encoder}, and {model} reads with .*\. Name the folder of a"):
        configs.load(model, text_encoder=encoder)


# Epochs (birds, COCO), heads, and the words of a tail, of MSMT-GAN and the rows of its tables 1 and 4.
MSMT_GAN = {
    "ig-dm-gan": (700, 210, 1, 3),
    "mtwig-dm-gan": (700, 210, 1, 3),
    "mtwig-sdm-gan": (700, 210, 1, 3),
    "msmt-gan": (1000, 210, 6, 3),
    "ig": (300, 60, 1, 3),
    "mtwig-ks1": (300, 60, 1, 1),
    "mtwig-ks2": (300, 60, 1, 2),
    "mtwig-ks3": (300, 60, 1, 3),
}


@pytest.mark.parametrize("model", MSMT_GAN)
@pytest.mark.parametrize("dataset", ["cub", "coco"])
def test_the_paper_values_of_msmt_gan_and_its_ablations(model, dataset):
    config, coco = configs.PAPER[model, dataset], dataset == "coco"
    birds, common, heads, kernel = MSMT_GAN[model]
    assert (config.epochs, config.heads, config.tail_kernel) == (common if coco else birds, heads, kernel)
    assert (config.generator_width, config.discriminator_width, config.residual_blocks) == (48, 32, 4 if coco else 3)
    assert (config.kl_weight, config.redundancy_weight, config.damsm_weight) == (1, 0.5, 50 if coco else 5)
    assert (config.batch_size, config.learning_rate, config.ema_decay) == (20, 2e-4, 0.999)
    assert (config.damsm_scales, config.mask, config.norm, config.grid) == ("all", "correct", "spectral", 8)
    assert (config.words, config.captions_per_image) == ((12, 5) if coco else (18, 10))
    assert config.sizes == ((64, 128, 256) if config.refinements else (64,))  # table 4 is of pictures of 64 px


@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu"])
def test_every_composition_has_the_profile_of_attngan(profile):
    """But for what only some have: cells, fewer where the features are small, and a single stage, which draws less."""
    rows, size = configs.PROFILES[profile], 64 if profile == "gpu" else 16
    for model, (_, *refinements) in configs.COMPOSITIONS.items():
        own = {} if refinements else {"image_size": size}
        if "spatial" in refinements and profile != "gpu":
            own = {"grid": 4}
        assert rows[model] == rows["attngan"] | own, model
        if "spatial" in refinements:
            config = configs.load(model, "aviary", profile)
            assert config.sizes[0] // config.grid >= 2  # pixels along a cell's side


def test_sizes_follow_the_number_of_stages():
    for refinements, sizes in (((), (64,)), (("memory",), (32, 64)), (("memory",) * 3, (8, 16, 32, 64))):
        assert configs.load("dm-gan", image_size=64, refinements=refinements).sizes == sizes


@pytest.mark.parametrize(
    ("model", "size", "sizes"),
    [
        ("gan-cls", 24, "8, 16, 32, 64"),
        ("attngan", 16, "32, 64, 128, 256"),
        ("dm-gan", 48, "32, 64, 128, 256"),
        ("stackgan-se", 12, "8, 16, 32, 64"),
        ("stackgan-stage2", 16, "32, 64, 128, 256"),
        ("stackgan2", 16, "32, 64, 128, 256"),
    ],
)
def test_sizes_that_no_doubling_reaches_are_refused(model, size, sizes):
    with pytest.raises(UserError, match=rf"{model} cannot draw pictures of {size} px.*--image-size such as {sizes}\."):
        configs.load(model, "aviary", "smoke", image_size=size)


ROW = '    "dm-gan": ("sentence", "memory", "memory"),\n'
STAGE = '''
from t2i.models.refinement import AttentionRefinement, Reading


class Sharpened(AttentionRefinement):
    """Attention that is rewarded for looking at few words."""

    penalty_name = "sharpness"

    @classmethod
    def from_config(cls, config):
        stage = super().from_config(config)
        stage.power = config.option("power")
        return stage

    def read(self, features, text):
        both, attention, _ = super().read(features, text)
        return Reading(both, attention, 1 - attention.pow(self.power).sum(dim=1).mean())
'''


@pytest.fixture
def checkout(tmp_path):
    """``checkout(file, before, after)`` changes a line in a copy of the package, and says where the copy is."""
    ignored = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(paths.checkout() / "t2i", tmp_path / "checkout" / "t2i", ignore=ignored)

    def change(file: str = "", before: str = "", after: str = "") -> Path:
        if file:
            text = (package / file).read_text()
            assert text.count(before) == 1
            (package / file).write_text(text.replace(before, after))
        return package.parent

    return change


@pytest.fixture
def train_mine(checkout, damsm_folder, little_aviary, tmp_path):
    """The command line of the changed copy trains its model "mine" for a step; returns the run's folder."""

    def train(*options: str) -> Path:
        small = ["--profile", "smoke", "--steps", "1", "--batch-size", "4", "--image-size", "64"]
        where = ["--root", str(little_aviary), "--text-encoder", str(damsm_folder)]
        command = [sys.executable, "-m", "t2i", "train", "mine", *small, *where, *options]
        environment = os.environ | {"T2I_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(checkout())}
        done = subprocess.run(command, cwd=checkout(), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return tmp_path / "runs" / "mine-aviary-smoke-s0"

    return train


@pytest.mark.slow
def test_a_new_composition_is_one_row(checkout, train_mine):
    """As a reader adds it to a checkout: one line, and the command line trains it and draws with it."""
    checkout("config/papers.py", ROW, ROW + '    "mine": ("tails", "attention", "memory", "attention"),\n')
    folder = train_mine()
    state = checkpoint.read(folder / "checkpoint.pt")
    assert state["step"] == 1 and {key[0] for key in state["networks"]["discriminators"]} == set("0123")
    memories = {key.split(".")[1] for key in state["networks"]["generator"] if "response_gate" in key}
    assert memories == {"1"}  # and the stages before and after it are attention
    assert "initial.ngram.weight" in state["networks"]["generator"]
    assert Image.open(folder / "samples" / "step_0000001.png").width > 6 * 64


@pytest.mark.slow
def test_a_new_stage_with_a_number_and_a_loss_is_a_class_an_entry_and_a_row(checkout, train_mine):
    """Three files: the stage, the table of stages, and the row with its numbers, which are options of ``train``."""
    (checkout() / "t2i" / "models" / "sharpened.py").write_text(STAGE)
    entry = "from t2i.models.spatial import SpatialRefinement\n"
    checkout("models/zoo.py", entry, "from t2i.models.sharpened import Sharpened\n" + entry)
    spatial = '    "spatial": SpatialRefinement,\n'
    checkout("models/zoo.py", spatial, spatial + '    "sharpened": Sharpened,\n')
    checkout("config/papers.py", ROW, ROW + '    "mine": ("sentence", "sharpened", "spatial"),\n')
    numbers = '    "mine": dict(stage_options=dict(power=2.0, sharpness_weight=0.1)),\n'
    checkout("config/papers.py", '    "ig": _TABLE_4,\n', numbers + '    "ig": _TABLE_4,\n')
    folder = train_mine("--power", "3", "--heads", "2", "--grid", "4")
    settings = json.loads((folder / "config.json").read_text())
    assert settings["stage_options"] == {"power": 3.0, "sharpness_weight": 0.1} and settings["heads"] == 2
    losses = json.loads((folder / "stats.jsonl").read_text().splitlines()[0])
    assert 0 < losses["g_sharpness"] < 0.1 and losses["g_redundancy"] != 0


def test_every_setting_names_its_source():
    kinds = {type(config) for config in configs.PAPER.values()}
    unnamed = {f.name for kind in kinds for f in dataclasses.fields(kind) if not f.metadata.get("source")}
    assert len(kinds) == 8 and unnamed == {"model", "dataset", "profile"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gan", "cub", "smoke"), "no model called 'gan'"),
        (("gan-cls", "/no/birds", "smoke"), "There is no folder /no/birds"),
        (("gan-cls", "cub", "fast"), "no profile called 'fast'.*smoke, cpu, night, gpu, paper"),
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
        ({"trunk": "vgg"}, "There is no trunk called 'vgg'. Choose one of: inception-v3, small, efficientnet-lite0."),
        ({"rnn": "RNN"}, "There is no rnn called 'RNN'. Choose one of: LSTM, GRU."),
    ],
)
def test_unknown_choices_are_refused(setting, sentence):
    with pytest.raises(UserError) as refused:
        configs.load("damsm", "cub", "smoke", **setting)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"batch_size": 0}, "batch_size is 0. Give a whole number from 1 on."),
        ({"image_size": "64"}, "image_size is '64'. Give a whole number from 1 on."),
        ({"steps": -5}, "steps is -5. Give a whole number from 0 on."),
        ({"seed": -1}, "seed is -1. Give a whole number from 0 on."),
        ({"learning_rate": 0.0}, "learning_rate is 0. Give a number above 0, such as 0.0002."),
        ({"learning_rate": float("nan")}, "learning_rate is nan. Give a number from 0 on."),
        ({"wrong_weight": -0.5}, "wrong_weight is -0.5. Give a number from 0 on."),
    ],
)
def test_numbers_that_cannot_be_are_refused(setting, sentence):
    with pytest.raises(UserError) as refused:
        configs.load("gan-cls", "aviary", "smoke", **setting)
    assert str(refused.value) == sentence


def test_a_folder_gives_its_name_to_the_run(tmp_path):
    (tmp_path / "boats").mkdir()
    config = configs.load("gan-cls", str(tmp_path / "boats"), "smoke")
    assert config.dataset == "folder" and config.root == str(tmp_path / "boats")
    assert config.name == "gan-cls-folder-boats-smoke-s0"


def test_a_folder_that_is_called_like_a_data_set_is_meant_only_if_it_was_prepared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, folder in (("cub", False), ("ducks", True)):
        (tmp_path / name).mkdir()
        assert configs.load("gan-cls", name, "smoke").root is None
        (tmp_path / name / "dataset.json").write_text("{}")
        config = configs.load("gan-cls", name, "smoke")
        assert config.root == (str(tmp_path / name) if folder else None)
        assert config.data_name == (f"folder-{name}" if folder else name)


def test_where_a_run_was_made_is_no_part_of_its_fingerprint(tmp_path):
    here = configs.load("gan-cls", "cub", "smoke")
    there = configs.load("gan-cls", "cub", "smoke", root=tmp_path, device="cpu")
    assert here.root is None and there.root == str(tmp_path)
    assert here.fingerprint() == there.fingerprint() != configs.load("gan-cls", "cub", "smoke", seed=1).fingerprint()


def test_what_is_published_of_a_run_names_no_place():
    places = dict(root="/data/cub", device="cuda", text_encoder="/home/me/runs/char-cnn-rnn-cub-gpu-s0")
    kept = configs.without_places(configs.load("gan-cls", "cub", "gpu", **places).to_dict())
    assert kept["root"] is None and kept["device"] == "auto" and kept["text_encoder"] == "char-cnn-rnn-cub-gpu-s0"
    assert "/" not in "".join(value for value in kept.values() if isinstance(value, str))
    for name in ("damsm", "released:attngan-aviary"):
        settings = configs.load("attngan", "cub", "gpu", text_encoder=name).to_dict()
        assert configs.without_places(settings) == settings
    stacked = configs.load("stackgan-stage2", "cub", "gpu", stage1="/home/me/runs/one").to_dict()
    assert configs.without_places(stacked)["stage1"] == "one"


def test_an_older_config_with_a_root_is_read():
    older = configs.load("gan-cls", "cub", "smoke").to_dict() | {"root": "/data/cub", "precision": "32-true"}
    del older["device"]
    assert configs.from_dict(older).root == "/data/cub"


def test_the_numbers_of_a_stage_of_one_s_own_are_settings(monkeypatch):
    row = configs.paper("attngan", "cub")
    monkeypatch.setitem(configs.PAPER, ("attngan", "cub"), dataclasses.replace(row, stage_options={"power": 3.0}))
    config = configs.load("attngan", "cub", power=2.0)
    assert config.option("power") == 2 and config.option("damsm_weight") == 5 and hash(config)
    assert configs.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(UserError, match=r"power is -1\. Give a number from 0 on\."):
        configs.load("attngan", "cub", power=-1)


@pytest.mark.parametrize(
    ("dataset", "drawn"), [("aviary", True), ("aviary-200", True), ("flowers", False), ("cub", False)]
)
@pytest.mark.parametrize("profile", ["smoke", "cpu", "night", "gpu"])
def test_photographs_are_seen_by_lite0_wherever_drawn_birds_are_by_aviarynet(profile, dataset, drawn):
    of = {model: configs.load(model, dataset, profile) for model in configs.MODELS}
    named = {config.evaluation_protocol.partition("-")[2] for config in of.values() if hasattr(config, "noise_size")}
    assert named == {"aviarynet1" if drawn else "lite0"}
    for model in ("char-cnn-rnn", "char-cnn-rnn-icml"):
        assert of[model].image_features == ("aviarynet1" if drawn else "efficientnet-lite0")
    assert (of["damsm"].trunk == "efficientnet-lite0") == (not drawn and profile in ("night", "gpu"))


def test_a_folder_of_one_s_own_is_taken_for_photographs(tmp_path):
    assert configs.load("gan-cls", str(tmp_path), "cpu").evaluation_protocol == "fid2k-lite0"
