"""AttnGAN's and DM-GAN's generators against the official code: pictures, attention, and every gradient of one step."""

import pytest
import torch
from recipe import compare, fill, golden, make_input, weight

from t2i import config as configs
from t2i import losses, official
from t2i.models.attention import attend
from t2i.text import TextFeatures
from t2i.training.gather import Gather
from t2i.training.objectives import AttnGan

MODELS = {"attngan": "attngan", "dmgan": "dm-gan"}
PRECISIONS = {"float": ("outputs", 2e-4), "double": ("outputs_fp64", 1e-6)}
# Where the official code has a module of its own: its name there, and ours.
TAPS = {
    "ca_net.fc": "augmentation.fc",
    "h_net1.fc": "initial.fc",
    "h_net1.upsample1": "initial.ups.0",
    "h_net1": "initial",
    "img_net1.img.0": "heads.0.0",
    "h_net2.residual": "refinements.0.residual",
    "img_net2.img.0": "heads.1.0",
    "img_net3.img.0": "heads.2.0",
}


def module(kind: str, scale: str) -> torch.nn.Module:
    return official.load(kind, fill(kind, scale))


def inputs(recorded: dict, precision: str) -> tuple[torch.Tensor, TextFeatures, torch.Tensor]:
    """Noise, text and the draw of the conditioning augmentation; captions of very different lengths."""
    noise, eps, sentence, words = (
        getattr(make_input(name, **recorded["inputs"][name]), precision)()
        for name in ("z", "eps", "sent_emb", "words_embs")
    )
    lengths = torch.tensor(recorded["cap_lens"])
    return noise, TextFeatures(words, sentence, torch.arange(words.shape[2]) >= lengths[:, None]), eps


def taps(generator: torch.nn.Module, wanted: dict, names: dict[str, str] = TAPS) -> dict[str, torch.Tensor]:
    """What comes out of the modules in ``names`` at the next forward pass, under its recorded name."""
    seen: dict[str, torch.Tensor] = {}
    for theirs, ours in names.items():
        if f"tap:{theirs}" in wanted:
            part = generator.get_submodule(ours)
            part.register_forward_hook(lambda *call, name=f"tap:{theirs}": seen.update({name: call[2]}))
    return seen


@pytest.mark.parametrize("project", MODELS)
@pytest.mark.parametrize(
    ("precision", "scale", "mode"),
    [("float", "fanin", "eval"), ("float", "fanin", "train"), ("double", "fanin", "train")],
)
def test_generator(project, precision, scale, mode):
    recorded, (outputs, tolerance) = golden(f"{project}_G_NET"), PRECISIONS[precision]
    (run,) = [run for run in recorded["runs"] if (run["wscale"], run["mode"]) == (scale, mode)]
    generator = module(f"{project}_cub_G_NET", scale).train(mode == "train")
    total = sum(tensor.double().abs().sum().item() for tensor in generator.state_dict().values())
    assert total == pytest.approx(run["sum_abs_weights"], rel=1e-6)
    noise, text, eps = inputs(recorded, precision)
    wanted = run[outputs]
    seen = taps(getattr(generator, precision)(), wanted)
    with torch.no_grad():
        made = generator(noise, text, eps)
    found = {f"img{k}": image for k, image in enumerate(made.images)}
    found |= {f"att{k}": maps for k, maps in enumerate(made.attention)}
    found |= {"mu": made.mean, "logvar": made.log_variance, "kl": losses.kullback_leibler(made.mean, made.log_variance)}
    for name, value in (found | seen).items():
        compare(value, wanted[name], tolerance)
    buffers = generator.state_dict()
    for name in (name for name in wanted if name.startswith("post:")):
        key = official.KINDS[f"{project}_cub_G_NET"].key(name.removeprefix("post:"))
        compare(buffers[key], wanted[name], tolerance)


@pytest.mark.parametrize("project", MODELS)
def test_the_correct_mask_is_another_picture(project):
    """The fault is not small: where captions differ in length, it changes the pictures."""
    recorded = golden(f"{project}_G_NET")
    kind = f"{project}_cub_G_NET"
    weights = fill(kind, "fanin")
    noise, text, eps = inputs(recorded, "float")
    with torch.no_grad():
        made = {m: official.load(kind, weights, mask=m)(noise, text, eps) for m in ("official", "correct")}
    assert (made["official"].images[2] - made["correct"].images[2]).abs().mean() > 0.01
    for stage in made["correct"].attention:
        assert (stage[text.mask] == 0).all() and (stage[~text.mask] > 0).any()


@pytest.mark.parametrize("project", MODELS)
@pytest.mark.parametrize("masked", [True, False])
def test_attention(project, masked):
    recorded = golden(f"losses_{project}")
    wanted = recorded["runs"][0]["outputs_fp64"]
    h = make_input("h", **recorded["inputs"]["h"]).double()
    mask = torch.arange(5) >= torch.tensor([5, 3, 2])[:, None] if masked else None
    if project == "attngan":
        words = make_input("ctx_words", **recorded["inputs"]["ctx_words"]).double()
        key = weight("conv_context.weight", (32, 256, 1, 1), "fanin").double()[:, :, 0, 0] @ words
        found, name = attend(h, key, key, mask, "official"), "GlobalAttention"
    else:
        key, value = (make_input(n, [3, 32, 5], 0.5).double() for n in ("ctx_key", "ctx_value"))
        found, name = attend(h, key, value, mask, "official"), "Memory"
    for value, what in zip(found, ("out", "attn"), strict=True):
        compare(value, wanted[f"{name}_{'masked' if masked else 'nomask'}_{what}"], 1e-6)


@pytest.mark.parametrize("project", MODELS)
def test_every_gradient_of_the_generators_step(project):
    """All networks together, in float64: the float32 noise of the official code itself is up to half a percent."""
    recorded = golden(f"{project}_generator_loss")
    wanted, kind = recorded["runs"][0]["outputs_fp64"], f"{project}_cub_G_NET"
    config = configs.load(MODELS[project], "cub")
    generator = module(kind, "fanin").train().double()
    discriminators = torch.nn.ModuleList(
        module(f"{project}_cub_D_NET{64 << k}", "fanin").train().double() for k in range(3)
    )
    image_encoder = module(f"{project}_CNN_ENCODER", "fanin").double()
    noise, text, eps = inputs(recorded, "double")
    made = generator(noise, text, eps)
    objective = AttnGan(config)
    objective.prepare(image_encoder, Gather())
    terms = objective.generator(discriminators, made, text, torch.tensor(recorded["class_ids"]))
    without = sum(term for name, term in terms.items() if name != "kl")
    found = {"errG_without_kl": without, "kl": terms["kl"]}
    parameters = dict(generator.named_parameters())
    total = sum(terms.values())
    gradients = torch.autograd.grad(total, [*made.images, *parameters.values()])
    found |= {f"grad_img{k}": gradient for k, gradient in enumerate(gradients[:3])}
    names = official.KINDS[kind].official
    found |= {f"grad:{names(key)}": g for key, g in zip(parameters, gradients[3:], strict=True)}
    for name, value in found.items():
        compare(value, wanted[name], 1e-5)
