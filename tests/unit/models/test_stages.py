"""Every stage against its equations, pixel by pixel and word by word, and the four compositions made of them."""

import pytest
import torch
from torch import nn

from t2i import config as configs
from t2i import models
from t2i.errors import UserError
from t2i.models.blocks import parameter_count
from t2i.models.initial import ConditioningAugmentation, SentenceStage
from t2i.models.refinement import AttentionRefinement, MemoryRefinement
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH as TEXT_SIZE
from t2i.training.multi_stage import discriminator_loss

LENGTHS = [3, 1]
MASK = torch.arange(3) >= torch.tensor(LENGTHS)[:, None]
# Counted in the official code; of a hybrid, from DM-GAN with one stage exchanged, which has 41,793 fewer.
COUNTS = {
    ("attngan", "cub"): (7_084_592, (6_313_730, 19_424_002, 71_858_946)),
    ("attngan", "coco"): (13_811_456, (13_304_450, 42_800_258, 160_774_274)),
    ("dm-gan", "cub"): (21_449_042, (1_878_242, 5_155_810, 18_264_546)),
    ("dm-gan", "coco"): (22_335_314, (1_878_242, 5_155_810, 18_264_546)),
    ("attndm-gan", "cub"): (21_449_042 - 41_793, (1_878_242, 5_155_810, 18_264_546)),
    ("dmattn-gan", "cub"): (21_449_042 - 41_793, (1_878_242, 5_155_810, 18_264_546)),
}


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def relu(x):
    return x * (x > 0)


def slow_conv3(x, weight):
    """A 3×3 convolution with padding 1, pixel by pixel."""
    _, _, height, width = x.shape
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    pixels = [
        (padded[:, None, :, i : i + 3, j : j + 3] * weight).sum(dim=(2, 3, 4))
        for i in range(height)
        for j in range(width)
    ]
    return torch.stack(pixels, dim=2).unflatten(2, (height, width))


def slow_norm(x, norm):
    """Batch norm: over batch and pixels while training, by the running statistics otherwise."""
    over = [d for d in range(x.ndim) if d != 1]
    mean, var = (x.mean(over), x.var(over, unbiased=False)) if norm.training else (norm.running_mean, norm.running_var)
    mean, var, gain, bias = (p.reshape(1, -1, *[1] * (x.ndim - 2)) for p in (mean, var, norm.weight, norm.bias))
    return (x - mean) / (var + 1e-5).sqrt() * gain + bias


def slow_gate(x):
    half = x.shape[1] // 2
    return x[:, :half] * sigmoid(x[:, half:])


def slow_residual(x, block):
    first, norm, _, second, last = block.body
    return x + slow_norm(slow_conv3(slow_gate(slow_norm(slow_conv3(x, first.weight), norm)), second.weight), last)


def slow_up(x, block):
    doubled = torch.stack([torch.stack([x, x], dim=4).flatten(3)] * 2, dim=3).flatten(2, 3)
    return slow_gate(slow_norm(slow_conv3(doubled, block.conv.weight), block.norm))


def slow_read(pixel, keys, values, seen):
    """One pixel (C,) and the words that it may see, a list of each: what it reads, and its attention."""
    shares = torch.stack([pixel @ keys[t] if seen[t] else torch.tensor(-torch.inf).double() for t in range(len(keys))])
    shares = shares.exp() / shares.exp().sum()
    return sum(shares[t] * values[t] for t in range(len(keys))), shares


def slow_attention(stage, features, words, seen):
    """AttnGAN's stage for one picture (C, h, w) and its words (D, T): features and context, and the attention."""
    keys = [stage.key.weight[:, :, 0, 0] @ word for word in words.T]
    pixels, maps = [], []
    for h in features.flatten(1).T:
        context, shares = slow_read(h, keys, keys, seen)
        pixels.append(torch.cat([h, context]))
        maps.append(shares)
    return pixels, maps


def slow_memory(stage, features, words, seen):
    """DM-GAN's stage, equations 1 to 6: the answer of the response gate twice, and the attention."""

    def linear(part, x):
        return relu(part.conv.weight[:, :, 0] @ x + part.conv.bias)

    mean = features.detach().flatten(1).mean(dim=1)
    memory = []
    for word in words.T:
        gate = sigmoid(stage.word_gate.weight[0] @ word + stage.image_gate.weight[0] @ mean)
        memory.append(linear(stage.write_word, word) * gate + linear(stage.write_image, mean) * (1 - gate))
    keys, values = ([linear(part, m) for m in memory] for part in (stage.key, stage.value))
    pixels, maps = [], []
    for h in features.flatten(1).T:
        found, shares = slow_read(h, keys, values, seen)
        respond = stage.response_gate
        gate = sigmoid(respond.weight[0, :, 0, 0] @ torch.cat([h, found]) + respond.bias)
        answer = found * gate + h * (1 - gate)
        pixels.append(torch.cat([answer, answer]))
        maps.append(shares)
    return pixels, maps


STAGES = {"attention": (AttentionRefinement, slow_attention), "memory": (MemoryRefinement, slow_memory)}


def slow_stage(stage, slow, features, words, mask):
    """A whole refinement stage; every picture with its own mask."""
    size = features.shape[2:]
    each = [slow(stage, f, w, ~m) for f, w, m in zip(features, words, mask, strict=True)]
    both, maps = (
        torch.stack([torch.stack(part, dim=1).unflatten(1, size) for part in half]) for half in zip(*each, strict=True)
    )
    for block in stage.residual:
        both = slow_residual(both, block)
    return slow_up(both, stage.up), maps


def lively(module: nn.Module) -> nn.Module:
    """In float64, with every number of it drawn anew, so that nothing is hidden behind a zero or a one."""
    torch.manual_seed(0)
    for value in module.double().state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 0.8) if value.ndim == 1 else value.normal_(0, 0.7)
    return module


def leaves(*shapes):
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]


def text(words, mask=MASK):
    return TextFeatures(words, words.mean(dim=2), mask)


def assert_same_gradients(found, wanted, inputs):
    slopes = [torch.randn_like(part) for part in found]
    gradients = [torch.autograd.grad(out, inputs, slopes) for out in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)
    assert all(gradient.any() for gradient in gradients[0])


@pytest.mark.parametrize("kind", STAGES)
@pytest.mark.parametrize("training", [True, False])
def test_a_refinement_is_its_equations(kind, training):
    build, slow = STAGES[kind]
    stage = lively(build(2, 4, residual_blocks=2, mask="correct")).train(training)
    features, words = leaves((2, 2, 2, 3), (2, 4, 3))
    *found, penalty = stage(features, text(words))
    wanted = slow_stage(stage, slow, features, words, MASK)
    assert found[0].shape == (2, 2, 4, 6) and found[1].shape == (2, 3, 2, 3) and penalty == 0
    torch.testing.assert_close(found, list(wanted), rtol=1e-10, atol=1e-12)
    assert_same_gradients(found, wanted, [features, words, *stage.parameters()])


@pytest.mark.parametrize("kind", STAGES)
def test_the_mask_s_rule_reaches_the_attention(kind):
    """Four pixels and two captions: odd pixels meet the mask of caption 1, which has one word."""
    stage = lively(STAGES[kind][0](2, 4, residual_blocks=0, mask="official"))
    features, words = leaves((2, 2, 2, 2), (2, 4, 3))
    attention = stage.read(features, text(words))[1].flatten(2)
    assert (attention[:, 1:, 1::2] == 0).all() and (attention[:, 1:, ::2] > 0).all()


def test_the_image_s_mean_passes_no_gradient_to_the_memory():
    stage = lively(MemoryRefinement(2, 4, residual_blocks=0, mask="correct"))
    features, words = leaves((2, 2, 2, 2), (2, 4, 3))
    memory = stage.write(features, words)
    assert memory.shape == (2, 4, 3)
    assert torch.autograd.grad(memory.sum(), [features, words], allow_unused=True)[0] is None
    assert not torch.equal(memory, stage.write(features + 1, words))  # though its value counts


@pytest.mark.parametrize("training", [True, False])
def test_the_sentence_stage_is_its_equations(training):
    augmentation = lively(ConditioningAugmentation(5, 2))
    sentence, eps, noise = leaves((3, 5), (3, 2), (3, 4))
    found = augmentation(sentence, eps)
    both = slow_gate(sentence @ augmentation.fc.weight.T + augmentation.fc.bias)
    mean, log_variance = both[:, :2], both[:, 2:]
    wanted = mean + (log_variance.exp().sqrt() * eps), mean, log_variance
    torch.testing.assert_close(found, wanted)

    stage = lively(SentenceStage(2, 4, width=1, size=8)).train(training)
    base = slow_norm(torch.cat([wanted[0], noise], dim=1) @ stage.fc[0].weight.T, stage.fc[1])
    small = slow_gate(base).reshape(3, 2, 4, 4)
    inputs = [sentence, eps, noise, *augmentation.parameters(), *stage.parameters()]
    assert_same_gradients([stage(found[0], noise, None)], [slow_up(small, stage.ups[0])], inputs)


def tiny(name: str, **settings) -> tuple[nn.Module, nn.ModuleList]:
    torch.manual_seed(0)
    return models.from_config(configs.load(name, "aviary", "smoke", **settings))


def inputs(generator, count=2, words=3):
    torch.manual_seed(2)
    given = TextFeatures(torch.randn(count, TEXT_SIZE, words), torch.randn(count, TEXT_SIZE), MASK[:count])
    return torch.randn(count, generator.noise_size), given, torch.randn(count, generator.condition_size)


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_what_a_generator_makes(name):
    generator, judges = tiny(name)
    noise, given, eps = inputs(generator)
    made = generator(noise, given, eps)
    assert [tuple(image.shape) for image in made.images] == [(2, 3, size, size) for size in (8, 16, 32)]
    assert [tuple(maps.shape) for maps in made.attention] == [(2, 3, size, size) for size in (8, 16)]
    assert all(0 < image.abs().max() <= 1 for image in made.images)
    assert made.mean.shape == made.log_variance.shape == (2, 100) and made.penalty == 0 and len(judges) == 3
    stages = [type(stage) for stage in generator.refinements]
    assert stages == [STAGES[kind][0] for kind in configs.COMPOSITIONS[name][1:]]


@pytest.mark.parametrize("name", ["attngan", "dm-gan"])
def test_the_draw_is_made_inside_or_given(name):
    generator = tiny(name)[0].eval()
    noise, given, eps = inputs(generator)
    with torch.no_grad():
        first, again = generator(noise, given, eps), generator(noise, given, eps)
        drawn, other = generator(noise, given), generator(noise, given)
    assert torch.equal(first.images[2], again.images[2])
    assert not torch.equal(drawn.images[2], other.images[2])  # in eval mode too
    assert torch.equal(drawn.mean, first.mean)


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
@pytest.mark.parametrize("training", [True, False])
def test_padding_never_changes_a_picture(name, training):
    generator = tiny(name)[0].train(training)
    noise, given, eps = inputs(generator)
    wanted = generator(noise, given, eps)
    garbage = given._replace(words=given.words.masked_fill(MASK[:, None], 1e3))
    longer = TextFeatures(
        nn.functional.pad(given.words, (0, 4)), given.sentence, nn.functional.pad(MASK, (0, 4), value=True)
    )
    for changed in (garbage, longer):
        found = generator(noise, changed, eps)
        for image, other in zip(found.images, wanted.images, strict=True):
            torch.testing.assert_close(image, other, rtol=0, atol=1e-5)
    for maps in found.attention:
        assert not maps[:, 3:].any()


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_without_batch_statistics_a_picture_needs_no_company(name):
    generator = tiny(name)[0].eval()
    noise, given, eps = inputs(generator)
    wanted = generator(noise, given, eps)
    for b, length in enumerate(LENGTHS):
        alone = TextFeatures(given.words[b : b + 1, :, :length], given.sentence[b : b + 1], None)
        found = generator(noise[b : b + 1], alone, eps[b : b + 1])
        torch.testing.assert_close(found.images[2][0], wanted.images[2][b], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_every_parameter_gets_a_gradient(name):
    generator, judges = tiny(name)
    noise, given, eps = inputs(generator)
    made = generator(noise, given, eps)
    sum((image * torch.randn_like(image)).sum() for image in made.images).backward()
    reals = [torch.rand_like(image) for image in made.images]
    for judge, real, image in zip(judges, reals, made.images, strict=True):
        discriminator_loss(judge, real, image.detach(), given.sentence).backward()
    for network in (generator, judges):
        missed = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert missed == []


@pytest.mark.parametrize(("name", "dataset"), COUNTS)
def test_parameter_counts(name, dataset):
    with torch.device("meta"):
        networks = models.build(name, dataset)
    each = tuple(parameter_count(judge) for judge in networks.discriminators)
    assert (parameter_count(networks.generator), each) == COUNTS[name, dataset]


def test_fresh_networks_are_initialised_as_published():
    networks = nn.ModuleList(tiny("dm-gan"))
    for module in networks.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            rows = module.weight.detach().flatten(1)
            small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
            torch.testing.assert_close(small, torch.eye(len(small)), rtol=0, atol=1e-4)
        if isinstance(module, nn.Linear) and module.bias is not None:
            assert not module.bias.any()
    gains = torch.cat([m.weight for m in networks.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)])
    assert gains.mean().item() == pytest.approx(1, abs=0.005) and gains.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_stage_that_there_is_not_is_named():
    with pytest.raises(UserError, match=r"refinement called 'memroy'.*Choose among: attention, memory"):
        tiny("dm-gan", refinements=("memory", "memroy"))
