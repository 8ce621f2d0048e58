"""The discriminators of AttnGAN (batch norm) and DM-GAN (spectral norm): logits, their loss, and its gradients."""

import pytest
import torch
from recipe import compare, fill, golden, make_input

from t2i import config as configs
from t2i import official
from t2i.training.objectives import AttnGan

CASES = [(project, size) for project in ("attngan", "dmgan") for size in (64, 128, 256)]
PRECISIONS = {"float": ("outputs", 2e-4), "double": ("outputs_fp64", 1e-6)}


def discriminator(project: str, size: int, run: dict, precision: str) -> torch.nn.Module:
    kind = f"{project}_cub_D_NET{size}"
    judge = official.load(kind, fill(kind, run["wscale"])).train(run["mode"] != "eval")
    return getattr(judge, precision)()


def given(recorded: dict, precision: str) -> list[torch.Tensor]:
    names = ("real", "fake", "sent_emb")
    return [getattr(make_input(name, **recorded["inputs"][name]), precision)() for name in names]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("project", "size"), CASES)
def test_logits(project, size, precision):
    recorded, (outputs, tolerance) = golden(f"{project}_D_NET{size}"), PRECISIONS[precision]
    scales = ("fixed", "fanin") if precision == "float" else ("fanin",)
    for run in (run for run in recorded["runs"] if run["mode"] in ("eval", "train") and run["wscale"] in scales):
        judge, (real, _, sentence) = discriminator(project, size, run, precision), given(recorded, precision)
        wanted = run[outputs]
        with torch.no_grad():
            features = judge.features(real)
            found = {"feat": features, "cond_logit": judge.conditional(features, sentence)}
            found["uncond_logit"] = judge.unconditional(features)
        found |= {"cond": found["cond_logit"].sigmoid(), "uncond": found["uncond_logit"].sigmoid()}
        buffers, layout = judge.state_dict(), official.KINDS[f"{project}_cub_D_NET{size}"]
        found |= {n: buffers[layout.key(n.removeprefix("post:"))] for n in wanted if n.startswith("post:")}
        for name, value in found.items():
            compare(value, wanted[name], tolerance)


@pytest.mark.parametrize(("project", "size"), CASES)
def test_the_loss_and_its_gradients(project, size):
    """In float64; of DM-GAN the gradients that its authors' PyTorch computed (see :class:`SpectralConv2d`)."""
    recorded, mode = golden(f"{project}_D_NET{size}"), "disc_fn" if project == "dmgan" else "disc"
    layout = official.KINDS[f"{project}_cub_D_NET{size}"]
    for run in (run for run in recorded["runs"] if (run["mode"], run["wscale"]) == (mode, "fanin")):
        judge, wanted = discriminator(project, size, run, "double"), run["outputs_fp64"]
        loss = AttnGan(configs.PAPER["attngan", "cub"]).discriminator(judge, *given(recorded, "double"), None)
        compare(loss, wanted["errD"], 1e-6)
        parameters = dict(judge.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for key, gradient in zip(parameters, gradients, strict=True):
            compare(gradient, wanted[f"grad:{layout.official(key)}"], 1e-5)
