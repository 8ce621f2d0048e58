"""The losses of the course, as pure functions of tensors; all compute in float32 at least, whatever they are given."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from t2i.text import ImageFeatures, TextFeatures

EPSILON = 1e-8  # under the norms of a cosine, as in the official code


def upcast(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 if it is: what comes from a network in half precision is promoted."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def bce_real(logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """−log D: the cross entropy of logits (B,) against the label "real", averaged over the batch.

    ``weight`` (B,) scales the samples; the mean is still over B.
    """
    logits = upcast(logits)
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), weight)


def bce_fake(logits: Tensor) -> Tensor:
    """−log(1 − D): the cross entropy of logits (B,) against the label "fake"."""
    logits = upcast(logits)
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def matching_aware(real_right: Tensor, real_wrong: Tensor, fake_right: Tensor, wrong_weight: float = 0.5) -> Tensor:
    """The discriminator's loss of GAN-CLS (Reed et al. 2016, algorithm 1).

    −log s_r − w·log(1 − s_w) − (1 − w)·log(1 − s_f) from three logits (B,): a real image with its text, another real
    image with that text, a generated image with the text it was made from. The
    paper prints the sum of logarithms and descends on it, which has the sign the wrong way round.
    """
    return bce_real(real_right) + wrong_weight * bce_fake(real_wrong) + (1 - wrong_weight) * bce_fake(fake_right)


def attngan_discriminator(
    real: Tensor,
    real_right: Tensor,
    fake: Tensor,
    fake_right: Tensor,
    real_wrong: Tensor | None,
    objective: str = "code",
) -> Tensor:
    """The discriminator's loss of AttnGAN and DM-GAN, from logits (B,): of a real image alone and with its sentence, of
    a generated one alone and with its sentence, and (B − 1,) of real images with the sentence of another.

    ``objective`` "code": what shall be called real is halved, the three that shall be called fake are divided by three.
    "paper" is AttnGAN's equation 5, which halves everything and knows no wrong pairs (``real_wrong`` may be None).
    """
    if objective == "paper":
        return (bce_real(real) + bce_fake(fake) + bce_real(real_right) + bce_fake(fake_right)) / 2
    called_fake = bce_fake(fake) + bce_fake(fake_right) + bce_fake(real_wrong)
    return (bce_real(real) + bce_real(real_right)) / 2 + called_fake / 3


def stackgan2_discriminator(conditional: Sequence[Tensor], unconditional: Sequence[Tensor]) -> Tensor:
    """A discriminator's loss in StackGAN++, from logits (B,) of a real picture, a wrong one and a generated one: each
    with the caption, and alone. The wrong picture does not fit the caption, but it is real."""
    with_caption = [loss(logits) for loss, logits in zip((bce_real, bce_fake, bce_fake), conditional, strict=True)]
    alone = [loss(logits) for loss, logits in zip((bce_real, bce_real, bce_fake), unconditional, strict=True)]
    return sum(with_caption) + sum(alone)


def kullback_leibler(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of the conditioning augmentation, (B, C) each, averaged over B and C."""
    mean, log_variance = upcast(mean), upcast(log_variance)
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def redundancy(outputs: Tensor) -> Tensor:
    """How alike the heads of a refinement stage are: the cosine of their mean outputs (T, B, C), summed over pairs of
    heads and averaged over B (MSMT-GAN, equations 20 and 21)."""
    directions = F.normalize(upcast(outputs), dim=2, eps=EPSILON)
    # Without a matrix product, which autocast would round to bfloat16. The square of the sum has each pair twice.
    twice = directions.sum(dim=0).square() - directions.square().sum(dim=0)
    return twice.sum(dim=1).mean() / 2


def joint_embedding(images: Tensor, texts: Tensor, margin: float = 1.0, symmetric: bool = True) -> Tensor:
    """The structured joint embedding (Reed et al., CVPR 2016, equations 3 to 5).

    ``images`` and ``texts`` (B, D): pair i is of class i and all classes differ. With F(v, t) = v·t, every caption of
    another class that comes within ``margin`` of the right one costs the difference, and so does, where it is
    ``symmetric``, every such image; the sum is divided by B², as the authors' code does.
    """
    scores = upcast(images) @ upcast(texts).T  # (image, text)
    right = scores.diagonal()
    other = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    by_image = (margin + scores - right[:, None]).clamp(min=0)[other].sum()
    by_text = (margin + scores - right[None, :]).clamp(min=0)[other].sum() if symmetric else 0
    return (by_image + by_text) / scores.numel()


class Gammas(NamedTuple):
    """DAMSM's three temperatures: of a word's attention over regions, of a caption's best words, of the softmax over
    captions (AttnGAN, equations 9, 10 and 11; the values are those of its code for birds)."""

    attention: float = 4.0
    words: float = 5.0
    matching: float = 10.0


GAMMAS = Gammas()


class Matching(NamedTuple):
    """DAMSM's four terms (AttnGAN, equations 12 and 13): words and whole sentences, each as a choice among the captions
    of the batch (``captions``) and among its images (``images``)."""

    words_captions: Tensor
    words_images: Tensor
    sentence_captions: Tensor
    sentence_images: Tensor


def region_attention(words: Tensor, mask: Tensor | None, regions: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Every caption looks at every image (AttnGAN, equations 7 to 9).

    ``words`` (C, D, T) with ``mask`` (C, T), True in the padding, and ``regions`` (I, D, R). Each region first shares
    its attention out among the words of a caption; then each word divides what it got among the regions, sharpened by
    ``sharpness``, γ₁. Returns the contexts (I, C, T, D), the mean region that each word sees, and the attention
    (I, R, C, T), which sums to one over R.
    """
    count, width, length = words.shape
    flat = words.transpose(1, 2).reshape(count * length, width)
    scores = upcast(flat @ regions).unflatten(1, (count, length))  # (I, C, T, R): both softmaxes run over whole lines
    if mask is not None:
        with torch.no_grad():  # in place, and the softmax gives the padding no gradient anyway
            scores.masked_fill_(mask[:, :, None], -torch.inf)
    attention = (sharpness * scores.softmax(dim=2)).softmax(dim=3)
    contexts = upcast(attention.flatten(1, 2) @ regions.transpose(1, 2))
    return contexts.unflatten(1, (count, length)), attention.permute(0, 3, 1, 2)


def words_similarity(image: ImageFeatures, text: TextFeatures, gammas: Gammas = GAMMAS) -> Tensor:
    """How well the words of each caption are seen in each image: (I, C), log Σₜ exp(γ₂ cos(wordₜ, contextₜ)).

    AttnGAN's equation 10 divides this by γ₂; the official code, and so every released weight, does not.
    """
    contexts, _ = region_attention(upcast(text.words), text.mask, upcast(image.regions).flatten(2), gammas.attention)
    words = upcast(text.words).transpose(1, 2)  # (C, T, D)
    norms = words.norm(dim=-1) * contexts.norm(dim=-1)
    cosines = gammas.words * (words * contexts).sum(dim=-1) / norms.clamp(min=EPSILON)
    if text.mask is not None:
        cosines = cosines.masked_fill(text.mask, -torch.inf)
    return cosines.logsumexp(dim=-1)


def sentence_similarity(image: ImageFeatures, text: TextFeatures) -> Tensor:
    """The cosine between the code of each image and each sentence: (I, C)."""
    code, sentence = upcast(image.code), upcast(text.sentence)
    norms = code.norm(dim=1)[:, None] * sentence.norm(dim=1)
    return code @ sentence.T / norms.clamp(min=EPSILON)


def matching(similarity: Tensor, classes: Tensor | None, sharpness: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of the right caption among all, and of the right image among all; ``similarity`` (B, B) is of image
    and caption, pair i being right.

    Another pair of the same class (``classes`` (B,)) is left out: its caption may well be true of this image too.
    """
    scores = sharpness * similarity
    if classes is not None:
        same = classes[:, None] == classes
        scores = scores.masked_fill(same.fill_diagonal_(False), -torch.inf)
    right = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, right), F.cross_entropy(scores.T, right)


def damsm(image: ImageFeatures, text: TextFeatures, classes: Tensor | None = None, gammas: Gammas = GAMMAS) -> Matching:
    """The four terms of DAMSM over a batch of pairs; their sum is its loss.

    Under autocast the two products of words and regions, most of the work, are of half precision; what stands in the
    exponents is not.
    """
    by_words = matching(words_similarity(image, text, gammas), classes, gammas.matching)
    with torch.autocast(image.code.device.type, enabled=False):
        return Matching(*by_words, *matching(sentence_similarity(image, text), classes, gammas.matching))
