import math

import pytest
import torch

from t2i import losses


def test_real_and_fake_are_minus_the_log_probabilities():
    logits = torch.tensor([0.0, 2.0])
    p = 1 / (1 + math.exp(-2))
    assert losses.real(logits).item() == pytest.approx((math.log(2) - math.log(p)) / 2, rel=1e-6)
    assert losses.fake(logits).item() == pytest.approx((math.log(2) - math.log(1 - p)) / 2, rel=1e-6)


def test_weights_scale_samples_and_keep_the_batch_size():
    logits, weight = torch.tensor([1.0, -3.0]), torch.tensor([1.0, 0.0])
    assert losses.real(logits, weight).item() == pytest.approx(losses.real(logits[:1]).item() / 2)


def test_matching_aware_weighs_wrong_and_fake_pairs():
    right, wrong, made = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([-1.0])
    expected = losses.real(right) + 0.25 * losses.fake(wrong) + 0.75 * losses.fake(made)
    assert losses.matching_aware(right, wrong, made, wrong_weight=0.25) == pytest.approx(expected.item())


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
    (fast,) = torch.autograd.grad(losses.joint_embedding(images, texts), images)
    torch.testing.assert_close(fast, slow)


def test_joint_embedding_is_zero_where_every_pair_wins_by_the_margin():
    assert losses.joint_embedding(2 * torch.eye(3), 2 * torch.eye(3)) == 0
