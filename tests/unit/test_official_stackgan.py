"""Released StackGANs and StackGAN++: their names, what is refused, and what becomes of an imported one."""

import pytest
import torch

from t2i import config as configs
from t2i import official
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.training import RECIPES, Run, fit, obtain

# Of each kind: the number of entries in its file, and some of them.
NAMES = {
    "stackgan1_default_STAGE1_G": (33, "ca_net.fc.bias fc.0.weight fc.1.running_var upsample4.2.bias img.0.weight"),
    "stackgan1_default_STAGE1_D": (
        27,
        "encode_img.0.weight encode_img.9.bias get_cond_logits.outlogits.1.weight get_cond_logits.outlogits.3.bias",
    ),
    "stackgan1_default_STAGE2_G": (
        127,
        "STAGE1_G.ca_net.fc.weight STAGE1_G.fc.1.bias STAGE1_G.upsample1.1.weight STAGE1_G.img.0.weight "
        "ca_net.fc.weight encoder.0.weight encoder.6.running_mean hr_joint.1.weight residual.3.block.4.bias "
        "upsample1.1.weight upsample4.2.weight img.0.weight",
    ),
    "stackgan1_default_STAGE2_D": (
        53,
        "encode_img.12.bias encode_img.17.weight encode_img.21.weight get_uncond_logits.outlogits.0.weight",
    ),
    "stackgan2_birds3_G_NET": (
        107,
        "ca_net.fc.weight h_net1.upsample4.2.bias h_net2.jointConv.0.weight h_net3.jointConv.1.running_var "
        "h_net3.residual.1.block.4.bias h_net2.upsample.1.weight img_net3.img.0.weight",
    ),
    "stackgan2_birds3_D_NET64": (29, "img_code_s16.9.weight jointConv.1.bias logits.0.bias uncond_logits.0.weight"),
    "stackgan2_birds3_D_NET128": (41, "img_code_s32_1.1.weight jointConv.0.weight"),
    "stackgan2_birds3_D_NET256": (53, "img_code_s64_2.0.weight logits.0.weight"),
    "stackgan1_coco_STAGE1_G": (33, "upsample1.1.weight"),
    "stackgan1_coco_STAGE1_D": (27, "encode_img.2.weight"),
    "stackgan1_coco_STAGE2_G": (103, "residual.1.block.0.weight"),
    "stackgan1_coco_STAGE2_D": (53, "encode_img.20.weight"),
}
SMALL = "stackgan1_default_STAGE1_D"


def drawn(kind: str) -> dict[str, torch.Tensor]:
    """Random numbers under the official keys, in the range of a network that draws something."""
    layout = official.KINDS[kind]
    return {
        layout.official(key): 0.1 * torch.rand(value.shape) if value.is_floating_point() else torch.tensor(7)
        for key, value in official.empty(kind).state_dict().items()
    }


def test_every_kind_is_there():
    assert {kind for kind in official.KINDS if kind.startswith("stackgan")} == NAMES.keys()


@pytest.mark.parametrize("kind", NAMES)
def test_the_names_are_the_official_ones(kind):
    layout, own = official.KINDS[kind], official.empty(kind).state_dict()
    theirs, (count, some) = [layout.official(key) for key in own], NAMES[kind]
    assert len(set(theirs)) == len(own) == count and set(some.split()) <= set(theirs)
    assert [layout.key(name) for name in theirs] == list(own)


@pytest.mark.parametrize("kind", [SMALL, "stackgan2_birds3_D_NET64", "stackgan1_default_STAGE1_G"])
def test_networks_come_back_as_they_were(kind):
    weights, layout = drawn(kind), official.KINDS[kind]
    older = {f"module.{name}": value for name, value in weights.items() if "num_batches" not in name}
    for given, counted in ((weights, 7), (older, 0)):
        module = official.load(kind, given)
        assert not any(part.training for part in module.modules())
        for key, value in module.state_dict().items():
            wanted = torch.tensor(counted) if "num_batches" in key else weights[layout.official(key)]
            assert torch.equal(value, wanted), key


def test_networks_of_another_release_are_refused():
    weights = drawn(SMALL)
    for other in ("stackgan1_coco_STAGE1_D", "stackgan2_birds3_D_NET64", "stackgan1_default_STAGE1_G"):
        with pytest.raises(UserError, match=f"the state dict: {other} does not fit this model: .* in the file and"):
            official.load(other, weights)


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Stage-I and its discriminator as they were released, and an imported Char-CNN-RNN."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    torch.save(CharCnnRnn("icml-gru", (384, 512, 512)).state_dict(), tmp_path / "char.pth")
    torch.save(drawn("stackgan1_default_STAGE1_G"), tmp_path / "netG_epoch_600.pth")
    torch.save(drawn(SMALL), tmp_path / "netD_epoch_last.pth")
    return tmp_path


def test_a_stage_one_is_imported_and_stacked_on(release):
    assert main(["import", "char_cnn_rnn_birds_icml", str(release / "char.pth")]) == 0
    assert Run.load(release / "runs" / "char_cnn_rnn_birds_icml").config == configs.load("char-cnn-rnn-icml", "cub")
    assert main(["import", "stackgan1_default_STAGE1_G", str(release / "netG_epoch_600.pth")]) == 0
    run = Run.load(release / "runs" / "stackgan1_default_STAGE1_G")
    assert run.config.model == "stackgan-cnn" and run.config.dataset == "cub"
    assert run.sample(["a red bird"]).shape == (1, 3, 64, 64)
    features = run.discriminators[0].features(torch.zeros(2, 3, 64, 64))
    assert run.discriminators[0].conditional(features, run.condition(["a red bird"] * 2)).shape == (2,)

    config = configs.load("stackgan-stage2", "cub", stage1=str(run.directory))
    basis = obtain.basis(config, {}, train=fit)
    assert basis.stage1.config == run.config
    config, asked = obtain.begun(config, basis, RECIPES[type(config)], {})
    assert config.block == "plain" and config.text_encoder.endswith("char_cnn_rnn_birds_icml")
    assert asked == {"block": "residual", "text_encoder": "char-cnn-rnn-icml"}


def test_what_cannot_be_imported_is_said(release, capsys):
    def refused(*arguments) -> str:
        assert main(["import", *map(str, arguments)]) == 1
        return capsys.readouterr().err

    said = refused("stackgan1_default_STAGE1_G", release / "netG_epoch_600.pth")
    assert "a generator reads with its own text encoder" in said and "import char_cnn_rnn_birds_icml FILE.pth" in said
    said = refused("stackgan1_coco_STAGE1_G", release / "netG_epoch_600.pth")
    assert "reads with a Char-CNN-RNN of its own data set" in said and "--text-encoder" in said
    for judge in (SMALL, "stackgan2_birds3_D_NET64"):
        assert f"{judge} is a discriminator, which comes along" in refused(judge, release / "netD_epoch_last.pth")
    assert not (release / "runs").exists()
