"""StackGAN's two stages and StackGAN++: shapes, blocks, what is frozen, and which parameters learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2i import config as configs
from t2i import models
from t2i.models import stackgan, stackgan2
from t2i.models.blocks import UpConv2d, parameter_count
from t2i.models.discriminator import Discriminator
from t2i.text import TextFeatures

MODELS = ("stackgan-cnn", "stackgan-res", "stackgan-se", "stackgan-stage2", "stackgan2")
# Counted by hand: a residual block of C channels adds 2 · (9C² + 2C), excitation another 2C · C/16 + C + C/16; after
# 512, 256, 128, 64 channels in the generator, and after 64, 128, 256, 512 in the discriminator.
BLOCK = sum(2 * (9 * c * c + 2 * c) for c in (64, 128, 256, 512))
EXCITATION = sum(2 * c * (c // 16) + c + c // 16 for c in (64, 128, 256, 512))
COUNTS = {
    "stackgan-cnn": (10_301_248, (5_715_713,)),
    "stackgan-res": (10_301_248 + BLOCK, (5_715_713 + BLOCK,)),
    "stackgan-se": (10_301_248 + BLOCK + EXCITATION, (5_715_713 + BLOCK + EXCITATION,)),
    "stackgan-stage2": (26_290_080, (71_269_122,)),  # of the generator, what is trained
    "stackgan2": (21_239_696, (5_723_906, 18_834_178, 71_269_122)),
}


def text(batch: int = 3, size: int = 1024) -> TextFeatures:
    return TextFeatures(None, torch.randn(batch, size), None)


def small(model: str, **settings) -> models.Networks:
    torch.manual_seed(0)
    return models.from_config(configs.load(model, "aviary", "smoke", **settings))


@pytest.mark.parametrize("model", MODELS)
def test_parameter_counts(model):
    with torch.device("meta"):
        generator, judges = models.build(model)
    counts = parameter_count(generator, trainable=True), tuple(parameter_count(judge) for judge in judges)
    assert counts == COUNTS[model]


def test_stage_two_has_the_official_count_on_a_plain_stage_one():
    config = configs.load("stackgan-stage2", "cub", stage1="stackgan-cnn")
    with torch.device("meta"):
        generator = models.from_config(config).generator
    assert parameter_count(generator) == 36_591_328
    assert parameter_count(generator.stage1) == 10_301_248 and parameter_count(generator.stage1, trainable=True) == 0


@pytest.mark.parametrize("model", MODELS)
def test_the_interface(model):
    generator, judges = small(model)
    made = generator(torch.randn(3, generator.noise_size), text())
    assert made.attention == [] and made.penalty == 0.0 and made.mean.shape == made.log_variance.shape == (3, 128)
    assert len(judges) == len(made.images)
    sizes = {"stackgan2": [8, 16, 32], "stackgan-stage2": [64]}.get(model, [16])
    assert [tuple(image.shape) for image in made.images] == [(3, 3, size, size) for size in sizes]
    for judge, image in zip(judges, made.images, strict=True):
        assert image.abs().max() <= 1
        features = judge.features(image)
        assert features.shape[2:] == (4, 4) and judge.conditional(features, made.mean).shape == (3,)
        alone = judge.unconditional
        assert alone is None if model in configs.STAGE_ONE else alone(features).shape == (3,)


@pytest.mark.parametrize("model", MODELS)
def test_the_draws_make_the_picture(model):
    generator = small(model).generator  # by the batch's statistics: an untrained one's own let the signal fade
    noise, eps, words = torch.randn(3, 100), torch.randn(3, generator.condition_size), text()
    with torch.no_grad():
        first, again = (generator(noise, words, eps).images[-1] for _ in range(2))
        others = generator(noise, words).images[-1], generator(torch.randn(3, 100), words, eps).images[-1]
        torch.testing.assert_close(generator(noise, words, eps).mean, generator.condition(words.sentence))
    assert torch.equal(first, again) and not any(torch.allclose(first, other) for other in others)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_stage_one_at_every_size(size):
    generator = stackgan.StageOneGenerator(16, 6, 5, 8, size, "squeeze")
    judge = stackgan.StageOneDiscriminator(size, 6, 4, "squeeze")
    made = generator(torch.randn(2, 5), text(2, 16))
    assert made.images[0].shape == (2, 3, size, size)
    assert judge.features(made.images[0]).shape == (2, 32, 4, 4)


def test_stage_two_makes_the_picture_four_times_as_large():
    for size in (8, 16):
        first = stackgan.StageOneGenerator(16, 6, 5, 8, size, "plain")
        (image,) = stackgan.StageTwoGenerator(first, 16, 8, 1)(torch.randn(2, 5), text(2, 16)).images
        assert image.shape == (2, 3, 4 * size, 4 * size)


def test_the_augmentation_is_rectified():
    augmentation, sentence, eps = stackgan.RectifiedAugmentation(7, 4), torch.randn(5, 7), torch.randn(5, 4)
    condition, mean, log_variance = augmentation(sentence, eps)
    linear = sentence @ augmentation.fc.weight.T + augmentation.fc.bias
    torch.testing.assert_close(mean, linear[:, :4] * (linear[:, :4] > 0))
    torch.testing.assert_close(log_variance, linear[:, 4:] * (linear[:, 4:] > 0))
    torch.testing.assert_close(condition, mean + (log_variance / 2).exp() * eps)
    assert (mean == 0).any() and (mean > 0).any()


def test_an_up_block_rectifies_what_it_doubled():
    torch.manual_seed(0)
    block, x = stackgan.up_block(6), torch.randn(2, 6, 3, 4)
    convolution, norm, _ = block
    plain = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), convolution.weight, padding=1)
    assert isinstance(convolution, UpConv2d)
    torch.testing.assert_close(block(x), norm(plain).clamp(min=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("excitation", [False, True])
def test_a_residual_block_is_rectified_after_the_sum(excitation):
    torch.manual_seed(0)
    block, x = stackgan.residual(32, nn.ReLU(), excitation), torch.randn(2, 32, 4, 5)
    first, one, _, second, two, *rest = block.body
    wanted = two(second(one(first(x)).clamp(min=0)))
    if excitation:
        squeeze, _, excite, _ = rest[0].scale
        assert (squeeze.out_features, excite.out_features) == (4, 32)
        wanted = wanted * excite(squeeze(wanted.mean(dim=(2, 3))).clamp(min=0)).sigmoid()[:, :, None, None]
    torch.testing.assert_close(block(x), (x + wanted).clamp(min=0))


def test_excitation_shrinks_by_sixteen_where_there_is_something_to_shrink():
    inner = [stackgan.Excitation(channels).scale[0].out_features for channels in (8, 64, 128, 512)]
    assert inner == [4, 4, 8, 32]


def test_the_variants_differ_in_what_follows_a_doubling_or_a_halving():
    found = {}
    for model, block in configs.STAGE_ONE.items():
        generator, judges = small(model)
        ups = [[type(part).__name__ for part in up] for up in generator.ups]
        tower = [type(part).__name__ for part in judges[0].tower]
        found[block] = {tuple(up) for up in ups}, tower
    up = ("UpConv2d", "BatchNorm2d", "ReLU")
    assert found["plain"] == ({up}, ["Sequential"] * 2)
    assert found["residual"] == found["squeeze"] == ({(*up, "Residual")}, ["Sequential", "Residual"] * 2)
    assert not any(isinstance(part, stackgan.Excitation) for part in small("stackgan-res").generator.modules())
    assert any(isinstance(part, stackgan.Excitation) for part in small("stackgan-se").discriminators.modules())
    assert isinstance(judges[0].tower[1].activation, nn.LeakyReLU)


@pytest.mark.parametrize("model", MODELS)
def test_a_gradient_reaches_every_parameter_that_is_trained_and_no_other(model):
    generator, judges = small(model)
    made = generator(torch.randn(4, 100), text(4))
    total = made.mean.square().sum() + made.log_variance.sum()
    for judge, image in zip(judges, made.images, strict=True):
        features = judge.features(image)
        total = total + judge.conditional(features, made.mean.detach()).sum()
        total = total + (judge.unconditional(features).sum() if judge.unconditional else 0)
    total.backward()
    for network in (generator, judges):
        for name, parameter in network.named_parameters():
            assert parameter.requires_grad != name.startswith("stage1."), name
            assert (parameter.grad is not None and parameter.grad.any()) == parameter.requires_grad, name


def test_stage_one_runs_in_the_mode_of_the_whole_and_without_a_gradient():
    generator, seen = small("stackgan-stage2").generator.train(), []
    generator.stage1.register_forward_hook(lambda *call: seen.append((call[0].training, call[2].images[0])))
    before = {name: value.clone() for name, value in generator.stage1.state_dict().items()}
    generator(torch.randn(4, 100), text(4)).images[0].sum().backward()
    generator.eval()(torch.randn(4, 100), text(4))
    assert [training for training, _ in seen] == [True, False] and not any(image.requires_grad for _, image in seen)
    changed = {name for name, value in generator.stage1.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and {name.rpartition(".")[2] for name in changed} == {
        "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip


def test_the_two_stages_are_augmented_apart():
    generator, noise, words = small("stackgan-stage2").generator.eval(), torch.randn(2, 100), text(2)
    first, own, drawn = torch.randn(2, 128), torch.randn(2, 128), []
    for part in (generator.stage1.augmentation, generator.augmentation):
        part.register_forward_pre_hook(lambda _, given: drawn.append(given[1]))
    assert generator.condition_size == 256
    with torch.no_grad():
        generator(noise, words, torch.cat([first, own], dim=1))
        assert torch.equal(drawn[0], first) and torch.equal(drawn[1], own)
        generator(noise, words, own)  # one draw for both, as the recorded figures of the official code have it
        assert torch.equal(drawn[2], own) and torch.equal(drawn[3], own)
        generator(noise, words)
        assert drawn[4:] == [None, None]


def test_the_tree_asks_for_the_condition_before_the_features():
    torch.manual_seed(0)
    stage, features, condition = stackgan2.ConditionRefinement(3, 8, 2), torch.randn(2, 8, 4, 4), torch.randn(2, 3)
    joint, before = stage.joint, []
    joint.register_forward_pre_hook(lambda _, given: before.append(given[0]))
    assert stage(features, condition).shape == (2, 4, 8, 8)
    assert torch.equal(before[0][:, :3], condition[:, :, None, None].expand(2, 3, 4, 4))
    assert torch.equal(before[0][:, 3:], features)

    judge, plain = stackgan2.TreeDiscriminator(16, 3, 4), Discriminator(16, 3, 4, "batch")
    plain.load_state_dict(judge.state_dict())
    weight = plain.joint.conv.weight.data
    plain.joint.conv.weight.data = torch.cat([weight[:, 3:], weight[:, :3]], dim=1)
    features = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(judge.conditional(features, condition), plain.conditional(features, condition))


def test_the_start_is_the_official_one():
    generator, judges = small("stackgan-stage2", generator_width=32, discriminator_width=16)
    for network in (generator.stage1, generator, judges):
        matrices = [p for p in network.parameters() if p.ndim > 1 and p.numel() > 5000]
        assert matrices and all(0.019 < p.std() < 0.021 for p in matrices)
        gains = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
        assert gains.mean().item() == pytest.approx(1, abs=0.01) and 0.01 < gains.std() < 0.03
    weight = small("stackgan2").generator.refinements[0].joint.conv.weight.flatten(1).double()
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)).double(), atol=1e-5, rtol=0)
