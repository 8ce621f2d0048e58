"""The stages of AttnGAN and DM-GAN against their equations, pixel by pixel and word by word."""

import pytest
import slow
import torch

from t2i.models.initial import ConditioningAugmentation, SentenceStage
from t2i.models.refinement import AttentionRefinement, MemoryRefinement

LENGTHS = [3, 1]
MASK = torch.arange(3) >= torch.tensor(LENGTHS)[:, None]


def relu(x):
    return x * (x > 0)


def slow_attention(stage, features, words, seen):
    """AttnGAN's stage for one picture (C, h, w) and its words (D, T): features and context, and the attention."""
    keys = [stage.key.weight[:, :, 0, 0] @ word for word in words.T]
    pixels, maps = [], []
    for h in features.flatten(1).T:
        context, shares = slow.read(h, keys, keys, seen)
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
        gate = slow.sigmoid(stage.word_gate.weight[0] @ word + stage.image_gate.weight[0] @ mean)
        memory.append(linear(stage.write_word, word) * gate + linear(stage.write_image, mean) * (1 - gate))
    keys, values = ([linear(part, m) for m in memory] for part in (stage.key, stage.value))
    pixels, maps = [], []
    for h in features.flatten(1).T:
        found, shares = slow.read(h, keys, values, seen)
        respond = stage.response_gate
        gate = slow.sigmoid(respond.weight[0, :, 0, 0] @ torch.cat([h, found]) + respond.bias)
        answer = found * gate + h * (1 - gate)
        pixels.append(torch.cat([answer, answer]))
        maps.append(shares)
    return pixels, maps


STAGES = {"attention": (AttentionRefinement, slow_attention), "memory": (MemoryRefinement, slow_memory)}


def slow_stage(stage, read, features, words, mask):
    """A whole refinement stage; every picture with its own mask."""
    size = features.shape[2:]
    each = [read(stage, f, w, ~m) for f, w, m in zip(features, words, mask, strict=True)]
    both, maps = (
        torch.stack([torch.stack(part, dim=1).unflatten(1, size) for part in half]) for half in zip(*each, strict=True)
    )
    for block in stage.residual:
        both = slow.residual(both, block)
    return slow.up(both, stage.up), maps


@pytest.mark.parametrize("kind", STAGES)
@pytest.mark.parametrize("training", [True, False])
def test_a_refinement_is_its_equations(kind, training):
    build, read = STAGES[kind]
    stage = slow.lively(build(2, 4, residual_blocks=2, mask="correct")).train(training)
    features, words = slow.leaves((2, 2, 2, 3), (2, 4, 3))
    *found, penalty = stage(features, slow.captions(words, LENGTHS))
    wanted = slow_stage(stage, read, features, words, MASK)
    assert found[0].shape == (2, 2, 4, 6) and found[1].shape == (2, 3, 2, 3) and penalty == 0
    torch.testing.assert_close(found, list(wanted), rtol=1e-10, atol=1e-12)
    slow.assert_same_gradients(found, wanted, [features, words, *stage.parameters()])


@pytest.mark.parametrize("kind", STAGES)
def test_the_mask_s_rule_reaches_the_attention(kind):
    """Four pixels and two captions: odd pixels meet the mask of caption 1, which has one word."""
    stage = slow.lively(STAGES[kind][0](2, 4, residual_blocks=0, mask="official"))
    features, words = slow.leaves((2, 2, 2, 2), (2, 4, 3))
    attention = stage.read(features, slow.captions(words, LENGTHS))[1].flatten(2)
    assert (attention[:, 1:, 1::2] == 0).all() and (attention[:, 1:, ::2] > 0).all()


def test_the_image_s_mean_passes_no_gradient_to_the_memory():
    stage = slow.lively(MemoryRefinement(2, 4, residual_blocks=0, mask="correct"))
    features, words = slow.leaves((2, 2, 2, 2), (2, 4, 3))
    memory = stage.write(features, words)
    assert memory.shape == (2, 4, 3)
    assert torch.autograd.grad(memory.sum(), [features, words], allow_unused=True)[0] is None
    assert not torch.equal(memory, stage.write(features + 1, words))  # though its value counts


@pytest.mark.parametrize("training", [True, False])
def test_the_sentence_stage_is_its_equations(training):
    augmentation = slow.lively(ConditioningAugmentation(5, 2))
    sentence, eps, noise = slow.leaves((3, 5), (3, 2), (3, 4))
    found = augmentation(sentence, eps)
    both = slow.gate(sentence @ augmentation.fc.weight.T + augmentation.fc.bias)
    mean, log_variance = both[:, :2], both[:, 2:]
    wanted = mean + (log_variance.exp().sqrt() * eps), mean, log_variance
    torch.testing.assert_close(found, wanted)

    stage = slow.lively(SentenceStage(2, 4, width=1, size=8)).train(training)
    base = slow.norm(torch.cat([wanted[0], noise], dim=1) @ stage.fc[0].weight.T, stage.fc[1])
    small = slow.gate(base).reshape(3, 2, 4, 4)
    inputs = [sentence, eps, noise, *augmentation.parameters(), *stage.parameters()]
    slow.assert_same_gradients([stage(found[0], noise, None)], [slow.up(small, stage.ups[0])], inputs)
