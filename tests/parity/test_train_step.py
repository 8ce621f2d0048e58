"""Two whole training steps, every D and then G, with Adam and the average of the weights, against the official code."""

import pytest
import torch
from recipe import golden, make_input
from test_generators import MODELS, inputs, module

from t2i import config as configs
from t2i import official
from t2i.training.average import Average
from t2i.training.gather import Gather
from t2i.training.objectives import AttnGan, DiscriminatorLosses
from t2i.training.recipe import frozen

SIZES = (64, 128, 256)
TOLERANCE = 0.01  # Adam turns float32 noise in small gradients into steps of full length


def total(module: torch.nn.Module) -> float:
    """The sum of all magnitudes that the official code calls parameters: the vectors of a spectral norm among them."""
    vectors = (buffer for name, buffer in module.named_buffers() if name.endswith((".u", ".v")))
    return sum(part.double().abs().sum().item() for part in (*module.parameters(), *vectors))


def whole(norms: dict[str, float]) -> float:
    """The norm of the gradient of all parameters together, from each one's."""
    return sum(norm**2 for norm in norms.values()) ** 0.5


@pytest.mark.parametrize("project", MODELS)
def test_two_steps(project):
    recorded, config = golden(f"{project}_train_step"), configs.load(MODELS[project], "cub")
    kind = f"{project}_cub_G_NET"
    generator = module(kind, "fanin").train()
    discriminators = torch.nn.ModuleList(module(f"{project}_cub_D_NET{size}", "fanin").train() for size in SIZES)
    image_encoder = module(f"{project}_CNN_ENCODER", "fanin").requires_grad_(False)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.5, 0.999))
        for network in (generator, discriminators)
    )
    average, objective = Average(generator, config.ema_decay), AttnGan(config)
    objective.prepare(image_encoder, Gather())
    discriminator_losses = DiscriminatorLosses(discriminators, objective)
    noise, text, eps = inputs(recorded, "float")
    reals = [make_input("real", [len(noise), 3, size, size], 0.5, 1.0) for size in SIZES]
    for iteration, wanted in enumerate(recorded["runs"][0]["iterations"]):
        made = generator(noise, text, eps)
        d_losses = discriminator_losses(reals, [image.detach() for image in made.images], text.sentence, [])
        d_adam.zero_grad()
        d_losses.sum().backward()
        d_adam.step()
        with frozen(discriminators):
            terms = objective.generator(discriminators, made, text, torch.tensor(recorded["class_ids"]))
        g_adam.zero_grad()
        sum(terms.values()).backward()
        g_adam.step()
        average.update(generator)

        for k, loss in enumerate(d_losses):
            assert loss.item() == pytest.approx(wanted[f"errD{k}"]["mean"], rel=TOLERANCE)
        without = sum(term for name, term in terms.items() if name != "kl").item()
        assert without == pytest.approx(wanted["errG_without_kl"]["mean"], rel=TOLERANCE)
        assert terms["kl"].item() == pytest.approx(wanted["kl"]["mean"], rel=1e-3 if iteration else 1e-4)
        wanted_norms = {official.KINDS[kind].key(key): norm for key, norm in wanted["G_grad_l2"].items()}
        norms = {key: parameter.grad.norm().item() for key, parameter in generator.named_parameters()}
        assert whole(norms) == pytest.approx(whole(wanted_norms), rel=0.05 if iteration else 0.003)
        if iteration == 0:  # the second gradients are those of weights some of which took noise for direction
            for key, norm in norms.items():
                assert norm == pytest.approx(wanted_norms[key], rel=0.03, abs=1e-4), key
        assert total(generator) == pytest.approx(wanted["G_param_sum_abs"], rel=1e-5)
        assert total(average.module) == pytest.approx(wanted["EMA_sum_abs"], rel=1e-6)
        for discriminator, sum_abs in zip(discriminators, wanted["D_param_sum_abs"], strict=True):
            assert total(discriminator) == pytest.approx(sum_abs, rel=1e-5)
