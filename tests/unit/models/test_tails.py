"""MSMT-GAN's first stage against its equations, word by word and tail by tail, and what may never change a picture."""

import pytest
import slow
import torch
from torch import nn

from t2i.models.initial import MultiTailStage
from t2i.text import TextFeatures

LENGTHS = [1, 4, 2]  # of five places each: the last is padding in all captions
CONDITION, NOISE, TEXT = 2, 3, 4


def tails_of(length, kernel):
    """As many as there are n-grams; a caption that is too short for one still has one."""
    return max(1, length - kernel + 1)


def slow_tails(stage, condition, noise, words, lengths):
    """Equations 2 and 3: the features of each caption, and the sums that the first norm saw."""
    weight, kernel, sums = stage.ngram.weight, stage.ngram.weight.shape[2], []
    for b, length in enumerate(lengths):
        columns = [torch.cat([condition[b], noise[b], words[b, :, t]]) for t in range(length)]
        while len(columns) < kernel:  # a word of zeros, beside the same condition and noise
            columns.append(torch.cat([condition[b], noise[b], torch.zeros(TEXT).double()]))
        for t in range(tails_of(length, kernel)):
            sums.append(sum(weight[:, :, k] @ columns[t + k] for k in range(kernel)))
    sums = torch.stack(sums)
    tails = slow.gate(slow.norm(sums, stage.norm)).reshape(len(sums), -1, 4, 4)  # of all captions, none of padding
    for block in stage.ups:
        tails = slow.up(tails, block)
    pictures, made = [], iter(tails)
    for length in lengths:
        fused = next(made)
        for _ in range(tails_of(length, kernel) - 1):
            fused = slow.fuse(fused, next(made), stage.fusion)
        pictures.append(fused)
    return torch.stack(pictures), sums


def build(kernel, size=8, training=False):
    return slow.lively(MultiTailStage(CONDITION, NOISE, TEXT, width=1, size=size, kernel=kernel)).train(training)


def given(places=5):
    return slow.leaves((3, CONDITION), (3, NOISE), (3, TEXT, places))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_tails_are_their_equations(kernel, training, lengths):
    stage, (condition, noise, words) = build(kernel, training=training), given()
    wanted, _ = slow_tails(stage, condition, noise, words, lengths or [5, 5, 5])
    found = stage(condition, noise, slow.captions(words, lengths))
    assert found.shape == (3, 1, 8, 8)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    slow.assert_same_gradients([found], [wanted], [condition, noise, words, *stage.parameters()])


@pytest.mark.parametrize("training", [True, False])
def test_every_tail_passes_all_doublings(training):
    """Two of them, and captions of a single word, of which every one is shorter than the kernel."""
    for lengths in ([2, 3, 1], [1, 1, 1]):
        stage, (condition, noise, words) = build(2, size=16, training=training), given(max(lengths))
        wanted, _ = slow_tails(stage, condition, noise, words, lengths)
        found = stage(condition, noise, slow.captions(words, lengths))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
        read = [part for name, part in stage.named_parameters() if "fusion" not in name or max(lengths) > 2]
        slow.assert_same_gradients([found], [wanted], [condition, noise, words, *read])


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_every_tail_counts_once_in_the_running_statistics(kernel):
    stage, inputs = build(kernel, training=True), given()
    mean, variance = (part.clone() for part in (stage.norm.running_mean, stage.norm.running_var))
    _, sums = slow_tails(stage, *inputs, LENGTHS)
    stage(*inputs[:2], slow.captions(inputs[2], LENGTHS))
    assert len(sums) == sum(tails_of(length, kernel) for length in LENGTHS)
    torch.testing.assert_close(stage.norm.running_mean, 0.9 * mean + 0.1 * sums.mean(dim=0))
    torch.testing.assert_close(stage.norm.running_var, 0.9 * variance + 0.1 * sums.var(dim=0))
    assert all(norm.num_batches_tracked == 1 for norm in (stage.norm, *(block.norm for block in stage.ups)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_padding_never_changes_the_features(kernel, training):
    stage, (condition, noise, words) = build(kernel, training=training), given()
    text = slow.captions(words, LENGTHS)
    wanted = stage(condition, noise, text)
    garbage = text._replace(words=words.masked_fill(text.mask[:, None], torch.nan))
    places = [nn.functional.pad(part, (0, 4), value=value) for part, value in ((words, 7.0), (text.mask, True))]
    longer, shorter = TextFeatures(places[0], text.sentence, places[1]), slow.captions(words[:, :, :4], LENGTHS)
    for changed in (garbage, longer, shorter):
        assert torch.equal(stage(condition, noise, changed), wanted)
    (slope,) = torch.autograd.grad(wanted.sum(), words)
    padding = text.mask[:, None].expand_as(words)
    assert not slope[padding].any() and slope[~padding].all()


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_in_eval_mode_a_caption_needs_no_company(kernel):
    stage, (condition, noise, words) = build(kernel), given()
    wanted = stage(condition, noise, slow.captions(words, LENGTHS))
    for b, length in enumerate(LENGTHS):
        alone = slow.captions(words[b : b + 1, :, :length], None)
        torch.testing.assert_close(stage(condition[b : b + 1], noise[b : b + 1], alone)[0], wanted[b])


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_the_captions_does_not_matter_and_that_of_the_words_does(training):
    stage, (condition, noise, words) = build(3, training=training), given()
    wanted = stage(condition, noise, slow.captions(words, LENGTHS))
    other = [1, 2, 0]
    moved = stage(condition[other], noise[other], slow.captions(words, LENGTHS).select(other))
    torch.testing.assert_close(moved, wanted[other])
    turned = stage(condition, noise, slow.captions(torch.cat([words[..., :4].flip(2), words[..., 4:]], dim=2), LENGTHS))
    assert not torch.allclose(turned[1], wanted[1], rtol=1e-3)


def test_a_word_reaches_the_tails_of_its_n_grams_only():
    """In eval mode, where tails do not share statistics: seen in what goes into the doublings."""
    stage, (condition, noise, words) = build(3), given()
    codes = []
    stage.ups.register_forward_pre_hook(lambda _, passed: codes.append(passed[0]))
    stage(condition, noise, slow.captions(words, None))
    assert len(codes) == 3
    for first, code in enumerate(codes):
        (slope,) = torch.autograd.grad(code[1].sum(), words, retain_graph=True)
        places = torch.zeros_like(slope, dtype=torch.bool)
        places[1, :, first : first + 3] = True
        assert slope[places].all() and not slope[~places].any()


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_all_tails_at_once_while_training_and_one_place_at_a_time_otherwise(kernel):
    counts = [tails_of(length, kernel) for length in LENGTHS]
    by_place = [sum(count > place for count in counts) for place in range(max(counts))]
    for training, wanted in ((True, [sum(counts)]), (False, by_place)):
        stage, (condition, noise, words) = build(kernel, training=training), given()
        seen = []
        stage.ups.register_forward_hook(lambda _, passed, made, seen=seen: seen.append(len(made)))
        stage(condition, noise, slow.captions(words, LENGTHS))
        assert seen == wanted
    assert max(by_place) == len(LENGTHS)


@pytest.mark.parametrize("training", [True, False])
def test_tails_in_mixed_precision(training):
    torch.manual_seed(0)
    stage = MultiTailStage(CONDITION, NOISE, TEXT, width=2, size=16, kernel=3).train(training)
    condition, noise, words = (part.detach().float().requires_grad_() for part in given())
    exact = stage.eval()(condition, noise, slow.captions(words, LENGTHS)).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = stage(condition, noise, slow.captions(words, LENGTHS))
        found = stage.train(training)(condition, noise, slow.captions(words, LENGTHS))
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
    gradients = torch.autograd.grad(found.float().square().sum(), [condition, noise, words, *stage.parameters()])
    assert all(part.isfinite().all() and part.any() for part in (found, *gradients))
