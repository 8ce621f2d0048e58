"""The losses of the course, as pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F


def real(logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """−log D: the cross entropy of logits (B,) against the label "real", averaged over the batch.

    ``weight`` (B,) scales the samples; the mean is still over B.
    """
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), weight)


def fake(logits: Tensor) -> Tensor:
    """−log(1 − D): the cross entropy of logits (B,) against the label "fake"."""
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def matching_aware(real_right: Tensor, real_wrong: Tensor, fake_right: Tensor, wrong_weight: float = 0.5) -> Tensor:
    """The discriminator's loss of GAN-CLS (Reed et al. 2016, algorithm 1).

    −log s_r − w·log(1 − s_w) − (1 − w)·log(1 − s_f) from three logits (B,): a real image with its text, another real
    image with that text, a generated image with the text it was made from. The
    paper prints the sum of logarithms and descends on it, which has the sign the wrong way round.
    """
    return real(real_right) + wrong_weight * fake(real_wrong) + (1 - wrong_weight) * fake(fake_right)


def joint_embedding(images: Tensor, texts: Tensor, margin: float = 1.0) -> Tensor:
    """The symmetric structured joint embedding (Reed et al., CVPR 2016, equations 3 to 5).

    ``images`` and ``texts`` (B, D): pair i is of class i and all classes differ. With F(v, t) = v·t, every caption of
    another class that comes within ``margin`` of the right one costs the difference, and so does every such image;
    the sum is divided by B², as the authors' code does.
    """
    scores = images @ texts.T  # (image, text)
    right = scores.diagonal()
    other = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    by_image = (margin + scores - right[:, None]).clamp(min=0)[other].sum()
    by_text = (margin + scores - right[None, :]).clamp(min=0)[other].sum()
    return (by_image + by_text) / scores.numel()
