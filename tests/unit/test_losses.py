import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i import losses
from t2i.text import ImageFeatures, TextFeatures


def test_real_and_fake_are_minus_the_log_probabilities():
    logits = torch.tensor([0.0, 2.0])
    p = 1 / (1 + math.exp(-2))
    assert losses.bce_real(logits).item() == pytest.approx((math.log(2) - math.log(p)) / 2, rel=1e-6)
    assert losses.bce_fake(logits).item() == pytest.approx((math.log(2) - math.log(1 - p)) / 2, rel=1e-6)


def test_weights_scale_samples_and_keep_the_batch_size():
    logits, weight = torch.tensor([1.0, -3.0]), torch.tensor([1.0, 0.0])
    assert losses.bce_real(logits, weight).item() == pytest.approx(losses.bce_real(logits[:1]).item() / 2)


def test_matching_aware_weighs_wrong_and_fake_pairs():
    right, wrong, made = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([-1.0])
    expected = losses.bce_real(right) + 0.25 * losses.bce_fake(wrong) + 0.75 * losses.bce_fake(made)
    assert losses.matching_aware(right, wrong, made, wrong_weight=0.25) == pytest.approx(expected.item())


def test_two_heads_are_weighed_as_in_the_code_or_as_in_the_paper():
    """The logits are logarithms of the odds 1 to 5, so that the probabilities are 1/2, 2/3, 3/4, 4/5 and 5/6."""
    half, right, made, made_right = (torch.tensor([math.log(odds)]) for odds in (1, 2, 3, 4))
    wrong = torch.tensor([])
    by_paper = losses.attngan_discriminator(half, right, made, made_right, wrong, "paper")
    assert by_paper.item() == pytest.approx((math.log(2) + math.log(3 / 2) + math.log(4) + math.log(5)) / 2)
    wrong = torch.tensor([math.log(5.0)])
    called_real, called_fake = math.log(2) + math.log(3 / 2), math.log(4) + math.log(5) + math.log(6)
    by_code = losses.attngan_discriminator(half, right, made, made_right, wrong)
    assert by_code.item() == pytest.approx(called_real / 2 + called_fake / 3)
    many = losses.attngan_discriminator(half, right, made, made_right, torch.tensor([math.log(5.0), 0.0, 0.0]))
    assert (by_code - many).item() == pytest.approx((math.log(6) - math.log(2)) * 2 / 9)  # each head is a mean


def test_a_wrong_picture_is_real_where_stackgan2_judges_it_alone():
    """Logits as above, of a real, a wrong and a generated picture."""
    one, two, three, four, five, six = (torch.tensor([math.log(odds)]) for odds in (1, 2, 3, 4, 5, 6))
    with_caption = math.log(2) + math.log(3) + math.log(4)  # real, not fitting, not fitting
    alone = math.log(5 / 4) + math.log(6 / 5) + math.log(7)  # real, real, not real
    found = losses.stackgan2_discriminator((one, two, three), (four, five, six))
    assert found.item() == pytest.approx(with_caption + alone)


def test_the_divergence_is_that_of_two_normal_distributions():
    torch.manual_seed(0)
    mean, log_variance = (torch.randn(3, 4, dtype=torch.double, requires_grad=True) for _ in range(2))
    drawn, standard = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    found, wanted = (
        losses.kullback_leibler(mean, log_variance),
        torch.distributions.kl_divergence(drawn, standard).mean(),
    )
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(loss, [mean, log_variance]) for loss in (found, wanted)))
    assert losses.kullback_leibler(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_redundancy_is_the_cosine_of_every_pair_of_heads():
    torch.manual_seed(0)
    outputs = torch.randn(4, 3, 5, requires_grad=True)  # heads, pictures, channels
    wanted = 0.0
    for picture in range(3):
        for i in range(4):
            for j in range(i + 1, 4):
                one, other = outputs[i, picture], outputs[j, picture]
                wanted = wanted + (one @ other) / (one.square().sum() * other.square().sum()).sqrt() / 3
    found = losses.redundancy(outputs)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(loss, outputs) for loss in (found, wanted)))
    torch.testing.assert_close(losses.redundancy(outputs * torch.tensor([1.0, 5.0, 0.1])[:, None]), found)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_heads_are_alike_between_all_their_pairs_and_half_their_number_below_zero(heads):
    """|Σ d|² is their number and twice the sum of their cosines, and no square is below zero."""
    same = torch.randn(1, 2, 4).expand(heads, 2, 4) * torch.arange(1, heads + 1)[:, None, None]
    assert losses.redundancy(same).item() == pytest.approx(heads * (heads - 1) / 2, rel=1e-6)
    angles = 2 * math.pi * torch.arange(heads)[:, None, None] / heads
    spread = torch.cat([angles.cos(), angles.sin()], dim=2)  # as far apart as they can be
    assert losses.redundancy(spread).item() == pytest.approx(-heads / 2 if heads > 1 else 0, abs=1e-6)
    torch.manual_seed(0)
    drawn = [losses.redundancy(torch.randn(heads, 2, 2)).item() for _ in range(50)]
    assert all(-heads / 2 - 1e-5 <= value <= heads * (heads - 1) / 2 + 1e-5 for value in drawn)


def test_redundancy_is_computed_in_float32_whatever_the_networks_precision():
    torch.manual_seed(0)
    outputs = torch.randn(6, 4, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = losses.redundancy(outputs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses.redundancy(outputs.float()))


def test_a_head_without_output_is_like_none():
    outputs = torch.zeros(3, 2, 4)
    outputs[0] = 1
    outputs.requires_grad_()
    assert losses.redundancy(outputs) == 0
    assert torch.autograd.grad(losses.redundancy(outputs), outputs)[0].isfinite().all()


def test_joint_embedding_against_a_loop_over_pairs():
    torch.manual_seed(0)
    images, texts = torch.randn(4, 5, dtype=torch.double), torch.randn(4, 5, dtype=torch.double)
    images.requires_grad_()
    total = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                total = total + (1 + images[i] @ texts[j] - images[i] @ texts[i]).clamp(min=0)
                total = total + (1 + images[j] @ texts[i] - images[i] @ texts[i]).clamp(min=0)
    torch.testing.assert_close(losses.joint_embedding(images, texts), total / 16)
    (slow,) = torch.autograd.grad(total / 16, images)
    one_sided = losses.joint_embedding(images, texts, symmetric=False)
    torch.testing.assert_close(one_sided + losses.joint_embedding(texts, images, symmetric=False), total / 16)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    by_image = sum((1 + images[i] @ texts[j] - images[i] @ texts[i]).clamp(min=0) for i, j in pairs)
    torch.testing.assert_close(one_sided, by_image / 16)
    (fast,) = torch.autograd.grad(losses.joint_embedding(images, texts), images)
    torch.testing.assert_close(fast, slow)


def test_joint_embedding_is_zero_where_every_pair_wins_by_the_margin():
    assert losses.joint_embedding(2 * torch.eye(3), 2 * torch.eye(3)) == 0


def slow_similarity(regions, words, gammas):
    """One image (D, R) and one caption (D, T) without padding, word by word."""
    count, length = regions.shape[1], words.shape[1]
    shares = [torch.stack([regions[:, r] @ words[:, t] for t in range(length)]).softmax(0) for r in range(count)]
    total = 0.0
    for t in range(length):
        weights = torch.stack([gammas.attention * shares[r][t] for r in range(count)]).exp()
        seen = sum(weights[r] * regions[:, r] for r in range(count)) / weights.sum()
        total = total + (gammas.words * slow_cosine(seen, words[:, t])).exp()
    return total.log()


def slow_cosine(a, b):
    return a @ b / (a.norm() * b.norm()).clamp(min=1e-8)


def slow_matching(similar, classes, sharpness):
    """Both cross entropies of ``similar[image][caption]``, pairs of one class left out, sample by sample."""
    number = range(len(similar))
    by_image = by_caption = 0.0
    for i in number:
        rivals = [j for j in number if j == i or classes is None or classes[j] != classes[i]]
        right = sharpness * similar[i][i]
        by_image = by_image + torch.stack([sharpness * similar[i][j] for j in rivals]).exp().sum().log() - right
        by_caption = by_caption + torch.stack([sharpness * similar[j][i] for j in rivals]).exp().sum().log() - right
    return by_image / len(similar), by_caption / len(similar)


def slow_damsm(regions, code, words, sentence, lengths, classes, gammas):
    every, flat = range(len(lengths)), regions.flatten(2)
    by_words = [[slow_similarity(flat[i], words[c, :, : lengths[c]], gammas) for c in every] for i in every]
    whole = [[slow_cosine(code[i], sentence[c]) for c in every] for i in every]
    return (
        *slow_matching(by_words, classes, gammas.matching),
        *slow_matching(whole, classes, gammas.matching),
    )


def pairs(lengths, width=4, grid=(2, 3), seed=0):
    """Random leaves (regions, code, words, sentence) of a batch in float64, and the mask of its padding."""
    torch.manual_seed(seed)
    count = len(lengths)
    shapes = (count, width, *grid), (count, width), (count, width, max(lengths)), (count, width)
    mask = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes], mask


def damsm(leaves, mask, classes=None, gammas=losses.GAMMAS):
    regions, code, words, sentence = leaves
    return losses.damsm(ImageFeatures(regions, code), TextFeatures(words, sentence, mask), classes, gammas)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    width=st.integers(1, 5),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    masked=st.booleans(),
    data=st.data(),
)
def test_damsm_is_its_equations_whatever_the_shapes(lengths, width, grid, masked, data):
    leaves, mask = pairs(lengths, width, grid, data.draw(st.integers(0, 99), "seed"))
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)), "classes")
    classes, gammas = torch.tensor(labels) if masked else None, losses.Gammas(3.0, 2.0, 7.0)
    found, wanted = damsm(leaves, mask, classes, gammas), slow_damsm(*leaves, lengths, classes, gammas)
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted))
    gradients = [torch.autograd.grad(t[0] + 2 * t[1] + 3 * t[2] + 4 * t[3], leaves) for t in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_padding_never_matters():
    lengths = [3, 1, 2]
    leaves, mask = pairs(lengths)
    terms = damsm(leaves, mask)
    gradients = torch.autograd.grad(sum(terms), leaves)
    assert not gradients[2].transpose(1, 2)[mask].any() and gradients[2].transpose(1, 2)[~mask].all()
    for garbage in (0.0, 1e6):  # the text encoder leaves zeros there, whose norm has no slope
        regions, code, words, sentence = leaves
        filled = [regions, code, words.masked_fill(mask[:, None], garbage), sentence]
        again = damsm(filled, mask)
        torch.testing.assert_close(again, terms, rtol=1e-12, atol=0)
        torch.testing.assert_close(torch.autograd.grad(sum(again), leaves), gradients, rtol=1e-9, atol=1e-12)


def test_without_a_mask_every_word_counts():
    leaves, _ = pairs([3, 3])
    everything = torch.zeros(2, 3, dtype=torch.bool)
    torch.testing.assert_close(damsm(leaves, None), damsm(leaves, everything))
    assert damsm(leaves, None).words_captions != damsm(leaves, ~everything.index_fill(1, torch.tensor(0), True))[0]


def test_attention_sums_to_one_over_regions_and_its_context_is_their_mean():
    (regions, _, words, _), mask = pairs([4, 2])
    contexts, attention = losses.region_attention(words, mask, regions.flatten(2), 4.0)
    assert contexts.shape == (2, 2, 4, 4) and attention.shape == (2, 6, 2, 4)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2, 2, 4, dtype=torch.double))
    torch.testing.assert_close(contexts[1, 0, 3], regions[1].flatten(1) @ attention[1, :, 0, 3])


def test_another_pair_of_the_class_has_no_influence():
    similar = torch.randn(4, 4, dtype=torch.double, requires_grad=True)
    classes = torch.tensor([5, 2, 5, 7])
    for way in (0, 1):
        (slope,) = torch.autograd.grad(losses.matching(similar, classes, 10.0)[way], similar)
        assert slope[0, 2] == slope[2, 0] == 0
        slope[0, 2] = slope[2, 0] = 1
        assert slope.all()  # every other pair counts
    changed = similar.detach().clone()
    changed[0, 2] = changed[2, 0] = 1e3
    assert losses.matching(changed, classes, 10.0) == losses.matching(similar, classes, 10.0)
    assert losses.matching(changed, None, 10.0)[0] > 100


def test_a_batch_of_one_class_asks_nothing():
    leaves, mask = pairs([2, 3, 1])
    terms = damsm(leaves, mask, torch.tensor([4, 4, 4]))
    assert [term.item() for term in terms] == [0, 0, 0, 0]
    assert all(not gradient.any() for gradient in torch.autograd.grad(sum(terms), leaves))  # NaN would be some


def test_a_zero_vector_has_cosine_zero():
    image = ImageFeatures(None, torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    text = TextFeatures(None, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), None)
    torch.testing.assert_close(losses.sentence_similarity(image, text), torch.tensor([[0.0, 0.0], [0.6, 0.0]]))


def test_half_precision_is_promoted_and_float64_kept():
    """Under autocast, too, where matrix products would be rounded; only those of words and regions are."""
    draws = torch.Generator().manual_seed(0)
    image = ImageFeatures(torch.randn(3, 8, 4, 4, generator=draws), torch.randn(3, 8, generator=draws))
    text = TextFeatures(torch.randn(3, 8, 5, generator=draws), torch.randn(3, 8, generator=draws), None)

    def every(kind):
        seen, read = (type(x)(*(None if part is None else part.to(kind) for part in x)) for x in (image, text))
        code, sentence = seen.code, read.sentence
        pairs = losses.joint_embedding(code, sentence), losses.kullback_leibler(code, sentence)
        alone = losses.bce_real(code[0]), losses.bce_fake(code[0]), losses.redundancy(read.words.transpose(1, 2))
        return torch.stack([*pairs, *alone, *losses.damsm(seen, read)])

    assert every(torch.float64).dtype == torch.float64 and every(torch.float32).dtype == torch.float32
    torch.testing.assert_close(every(torch.float64).float(), every(torch.float32))
    low = every(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, by_words = every(torch.bfloat16), slice(5, 7)
        exact = [k for k in range(2, len(low)) if k not in range(*by_words.indices(len(low)))]
        torch.testing.assert_close(rounded[exact], low[exact], rtol=0, atol=0)
        torch.testing.assert_close(rounded[by_words], low[by_words], rtol=0.02, atol=0)
    image, text = (type(x)(*(None if part is None else part.bfloat16() for part in x)) for x in (image, text))
    torch.testing.assert_close(every(torch.float32), low, rtol=0, atol=0)
