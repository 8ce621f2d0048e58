"""StackGAN's two stages and StackGAN++ against the official code: pictures, logits, losses and their gradients."""

import pytest
import torch
from recipe import compare, fill, golden, make_input
from test_generators import taps as taps_of

from t2i import config as configs
from t2i import losses, official
from t2i.models.blocks import parameter_count
from t2i.models.generator import Generated
from t2i.text import TextFeatures
from t2i.training.objectives import StackGan, StackGanTree

STAGE, TREE = configs.PAPER["stackgan-cnn", "cub"], configs.PAPER["stackgan2", "cub"]

PRECISIONS = {"float": ("outputs", 2e-4), "double": ("outputs_fp64", 1e-6)}
# fixed: where an eval-mode picture is nine tenths saturated, float32 holds a thousandth of it
CASES = [
    ("float", "fanin", "eval"),
    ("float", "fanin", "train"),
    ("float", "fixed", "train"),
    ("double", "fanin", "train"),
    ("double", "fixed", "eval"),
]
KINDS = {
    "stackgan1_STAGE1_G": "stackgan1_default_STAGE1_G",
    "stackgan1_STAGE2_G": "stackgan1_default_STAGE2_G",
    "stackgan2_G_NET": "stackgan2_birds3_G_NET",
    "stackgan1_STAGE1_D": "stackgan1_default_STAGE1_D",
    "stackgan1_STAGE2_D": "stackgan1_default_STAGE2_D",
    "stackgan2_D_NET64": "stackgan2_birds3_D_NET64",
    "stackgan2_D_NET128": "stackgan2_birds3_D_NET128",
    "stackgan2_D_NET256": "stackgan2_birds3_D_NET256",
}
GENERATORS = [name for name in KINDS if "_G" in name]
JUDGES = [name for name in KINDS if "_D" in name]
# Where the official code has a module of its own: its name there, and ours. A head's first part is its convolution.
TAPS = {
    "stackgan1_STAGE1_G": {
        "ca_net.fc": "augmentation.fc", "fc": "fc", "upsample1": "ups.0", "upsample4": "ups.3", "img.0": "head.0",
    },
    "stackgan1_STAGE2_G": {
        "encoder": "encoder", "hr_joint": "joint", "residual": "residual", "upsample1": "ups.0", "upsample4": "ups.3",
        "img.0": "head.0",
    },
    "stackgan2_G_NET": {
        "ca_net.fc": "augmentation.fc", "h_net1": "initial", "h_net2.jointConv": "refinements.0.joint",
        "h_net2": "refinements.0", "h_net3": "refinements.1",
        **{f"img_net{k + 1}.img.0": f"heads.{k}.0" for k in range(3)},
    },
}  # fmt: skip


def module(name: str, run: dict, precision: str) -> torch.nn.Module:
    """The network filled by the recipe, its sum checked."""
    network = official.load(KINDS[name], fill(KINDS[name], run["wscale"])).train(run["mode"] != "eval")
    total = sum(tensor.double().abs().sum().item() for tensor in network.state_dict().values())
    assert total == pytest.approx(run["sum_abs_weights"], rel=1e-6)
    return getattr(network, precision)()


def given(recorded: dict, precision: str, *names: str) -> list[torch.Tensor]:
    return [getattr(make_input(name, **recorded["inputs"][name]), precision)() for name in names]


def runs(recorded: dict, mode: str, scale: str) -> list[dict]:
    found = [run for run in recorded["runs"] if (run["mode"], run["wscale"]) == (mode, scale)]
    assert len(found) == 1
    return found


@pytest.mark.parametrize(("precision", "scale", "mode"), CASES)
@pytest.mark.parametrize("name", GENERATORS)
def test_generator(name, precision, scale, mode):
    recorded, (outputs, tolerance) = golden(name), PRECISIONS[precision]
    (run,) = runs(recorded, mode, scale)
    wanted, generator = run[outputs], module(name, run, precision)
    seen = taps_of(generator, wanted, TAPS[name])
    if "stage1_img" in wanted:
        generator.stage1.register_forward_hook(lambda *call: seen.update(stage1_img=call[2].images[0]))
    noise, sentence, eps = given(recorded, precision, "z", "txt", "eps")
    with torch.no_grad():
        made = generator(noise, TextFeatures(None, sentence, None), eps)
    names = ["img"] if len(made.images) == 1 else ["img0", "img1", "img2"]
    found = dict(zip(names, made.images, strict=True)) | seen
    found |= {"mu": made.mean, "logvar": made.log_variance, "kl": losses.kullback_leibler(*made[2:4])}
    assert {n for n in wanted if n not in ("mean2", "cov2")} == found.keys()  # those of a loss that is never used
    for what, value in found.items():
        compare(value, wanted[what], tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", JUDGES)
def test_logits(name, precision):
    recorded, (outputs, tolerance) = golden(name), PRECISIONS[precision]
    scales = ("fixed", "fanin") if precision == "float" else ("fanin",)
    for run in (run for run in recorded["runs"] if run["mode"] in ("eval", "train") and run["wscale"] in scales):
        judge, wanted = module(name, run, precision), run[outputs]
        real, condition = given(recorded, precision, "real", "cond" if "cond" in recorded["inputs"] else "mu")
        with torch.no_grad():
            features = judge.features(real)
            logits = {"cond": judge.conditional(features, condition)}
            if judge.unconditional is not None:
                logits["uncond"] = judge.unconditional(features)
        found = {what: logit.sigmoid() for what, logit in logits.items()}
        found |= {"feat": features} if "feat" in wanted else {}
        taps = ["get_cond_logits.outlogits.3", "logits.0"], ["get_uncond_logits.outlogits.0", "uncond_logits.0"]
        for what, names in zip(("cond", "uncond"), taps, strict=True):
            found |= {f"tap:{n}": logits[what][:, None, None, None] for n in names if f"tap:{n}" in wanted}
        assert found.keys() == wanted.keys()
        for what, value in found.items():
            compare(value, wanted[what], tolerance)


@pytest.mark.parametrize("name", JUDGES)
def test_the_losses_and_their_gradients(name):
    """In float64: the discriminator's loss with every gradient, and the generator's with that of its picture."""
    recorded, layout = golden(name), official.KINDS[KINDS[name]]
    (run,) = runs(recorded, "disc", "fanin")
    judge, wanted = module(name, run, "double"), run["outputs_fp64"]
    if name.startswith("stackgan2"):
        real, wrong, fake, mean = given(recorded, "double", "real", "wrong", "fake", "mu")
        loss = StackGanTree(TREE).discriminator(judge, real, fake, mean, wrong)
        parts = {}
    else:
        real, fake, mean = given(recorded, "double", "real", "fake", "cond")
        loss = StackGan(STAGE).discriminator(judge, real, fake, mean, None)
        parts = {"errD_real", "errD_wrong", "errD_fake"}  # officially reported, one of them not as it is summed
    compare(loss, wanted["errD"], 1e-6)
    parameters = dict(judge.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    found = {f"grad:{layout.official(key)}": g for key, g in zip(parameters, gradients, strict=True)}
    if "errG" in wanted:
        found |= generator_step(judge, fake.requires_grad_(), mean)
    assert found.keys() | {"errD", *parts} == wanted.keys()
    for what, value in found.items():
        compare(value, wanted[what], 1e-5)


def generator_step(judge: torch.nn.Module, fake: torch.Tensor, mean: torch.Tensor) -> dict[str, torch.Tensor]:
    made = Generated([fake], [], mean, torch.zeros_like(mean), 0.0)
    loss = StackGan(STAGE).generator([judge], made, None, None)["adversarial"]
    return {"errG": loss, "grad_fake": torch.autograd.grad(loss, fake)[0]}


# All parameters, and those that are trained.
COUNTS = {
    "stackgan1_default_STAGE1_G": (10_301_248, 10_301_248),
    "stackgan1_default_STAGE1_D": (5_715_713, 5_715_713),
    "stackgan1_default_STAGE2_G": (36_591_328, 26_290_080),
    "stackgan1_default_STAGE2_D": (71_269_122, 71_269_122),
    "stackgan1_coco_STAGE1_G": (20_020_832, 20_020_832),
    "stackgan1_coco_STAGE1_D": (12_407_425, 12_407_425),
    "stackgan1_coco_STAGE2_G": (57_151_312, 37_130_480),
    "stackgan1_coco_STAGE2_D": (159_889_538, 159_889_538),
    "stackgan2_birds3_G_NET": (21_239_696, 21_239_696),
    "stackgan2_birds3_D_NET64": (5_723_906, 5_723_906),
    "stackgan2_birds3_D_NET128": (18_834_178, 18_834_178),
    "stackgan2_birds3_D_NET256": (71_269_122, 71_269_122),
}


@pytest.mark.parametrize("kind", COUNTS)
def test_parameter_counts(kind):
    network = official.empty(kind)
    assert (parameter_count(network), parameter_count(network, trainable=True)) == COUNTS[kind]
