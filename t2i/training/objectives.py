"""What a GAN minimises, one class a paper. Nothing else in training knows a loss of a GAN.

A new loss for one model is a subclass that replaces a method: ``fit(config, objective=Hinge(config))``.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from t2i import losses
from t2i.config import (
    Config,
    GanClsConfig,
    MultiStageConfig,
    StackGanConfig,
    StackGanStage2Config,
    StackGanTreeConfig,
)
from t2i.models.generator import Generated
from t2i.text import ImageFeatures, TextFeatures
from t2i.training.gather import Gather


class Objective:
    """The losses of both players.

    ``wrong`` says where a real picture that does not fit its caption comes from: the batch itself, where picture i
    meets caption i + 1, whatever its class ("neighbour"), or pictures of other classes that the batch brings along
    ("other class").
    """

    wrong: Literal["neighbour", "other class"] = "neighbour"

    def __init__(self, config: Config):
        self.config = config
        self.logged: dict[str, Tensor] = {}  # further numbers of the last step, for the log alone

    def prepare(self, image_encoder: nn.Module | None, gather: Gather) -> None:
        """Called once before training: DAMSM's image encoder, where there is one, and what brings the shares of a
        data-parallel run together."""

    def condition(self, made: Generated, text: TextFeatures) -> Tensor:
        """What the discriminators read of the captions: (B, N_s) or (B, C)."""
        return text.sentence

    def discriminator(self, d: nn.Module, real: Tensor, fake: Tensor, condition: Tensor, wrong: Tensor | None):
        """The loss of the discriminator ``d`` of one size, a scalar: ``real`` and ``fake`` pictures (B, 3, s, s) of
        captions with ``condition``; ``wrong`` ones where :attr:`wrong` is "other class"."""
        raise NotImplementedError(f"{type(self).__name__} says nothing about discriminators")

    def generator(
        self, discriminators: nn.ModuleList, made: Generated, text: TextFeatures, classes: Tensor
    ) -> dict[str, Tensor]:
        """The weighted terms, scalars, whose sum the generator minimises, by the names that the log gives them."""
        raise NotImplementedError(f"{type(self).__name__} says nothing about generators")


class DiscriminatorLosses(nn.Module):
    """The losses of all discriminators in one forward pass, which is what data-parallel training wraps."""

    def __init__(self, discriminators: nn.ModuleList, objective: Objective):
        super().__init__()
        self.discriminators, self.objective = discriminators, objective

    def forward(self, reals: list[Tensor], fakes: list[Tensor], condition: Tensor, wrongs: list[Tensor]) -> Tensor:
        """Pictures (B, 3, s, s) for each size, small to large -> the losses, one for each size."""
        each = zip(self.discriminators, reals, fakes, wrongs or [None] * len(reals), strict=True)
        return torch.stack([self.objective.discriminator(d, r, f, condition, w) for d, r, f, w in each])


class MatchingAware(Objective):
    """GAN-CLS (Reed et al., ICML 2016, algorithm 1): (real, right), (wrong, right) and (fake, right) pairs."""

    wrong = "other class"

    def discriminator(self, d, real, fake, condition, wrong):
        pictures = {"real": real, "wrong": wrong, "fake": fake}
        logits = {name: d.conditional(d.features(picture), condition) for name, picture in pictures.items()}
        self.logged = {f"score_{name}": found.detach().sigmoid().mean() for name, found in logits.items()}
        return losses.matching_aware(*logits.values(), self.config.wrong_weight)

    def generator(self, discriminators, made, text, weight):
        """``weight`` (B,) in place of classes: what each text counts, GAN-INT's less than a written one."""
        (d,) = discriminators
        logits = d.conditional(d.features(made.images[-1]), text.sentence)
        return {"adversarial": losses.bce_real(logits, weight)}


class StackGan(Objective):
    """StackGAN's stages (Zhang et al., ICCV 2017, as in the authors' PyTorch code): D reads the mean μ of the
    conditioning augmentation, which its opinion does not teach."""

    def condition(self, made, text):
        return made.mean

    def discriminator(self, d, real, fake, condition, wrong):
        """A real picture fits its caption's μ, a generated one does not, nor does picture i the μ of caption i + 1;
        with a second head, also the pictures alone. Officially D is called in this order, on which the running
        statistics of its batch norms depend."""
        real, fake = d.features(real), d.features(fake)
        right, wrong = d.conditional(real, condition), d.conditional(real[:-1], condition[1:])
        fitting = d.conditional(fake, condition)
        if d.unconditional is None:
            return losses.matching_aware(right, wrong, fitting)
        return losses.attngan_discriminator(d.unconditional(real), right, d.unconditional(fake), fitting, wrong)

    def generator(self, discriminators, made, text, classes):
        (d,) = discriminators
        features = d.features(made.images[-1])
        adversarial = losses.bce_real(d.conditional(features, made.mean.detach()))
        if d.unconditional is not None:
            adversarial = adversarial + losses.bce_real(d.unconditional(features))
        return {"adversarial": adversarial, "kl": divergence(self.config, made)}


class StackGanTree(Objective):
    """StackGAN++ (Zhang et al., TPAMI 2018, as in the authors' code).

    A wrong picture is always of another class; the official code draws once more where the class is the same, and then
    takes what comes. Here the Ds' opinions teach μ as well.
    """

    wrong = "other class"

    def condition(self, made, text):
        return made.mean

    def discriminator(self, d, real, fake, condition, wrong):
        """A wrong picture counts as real where it is judged alone."""
        judged = []
        for picture in (real, wrong, fake):
            features = d.features(picture)
            judged.append((d.conditional(features, condition), d.unconditional(features)))
        return losses.stackgan2_discriminator(*zip(*judged, strict=True))

    def generator(self, discriminators, made, text, classes):
        adversarial = two_headed(discriminators, made.images, made.mean)
        return {"adversarial": adversarial, "kl": divergence(self.config, made)}


class AttnGan(Objective):
    """AttnGAN, DM-GAN, the hybrids and MSMT-GAN (Xu et al., CVPR 2018; Zhu et al., CVPR 2019): two heads at every size,
    and DAMSM, which seeks the caption in the picture."""

    def prepare(self, image_encoder, gather):
        self.image_encoder, self.gather = image_encoder, gather

    def discriminator(self, d, real, fake, condition, wrong):
        """Real and fake go through separately, each with batch statistics of its own."""
        real, fake = d.features(real), d.features(fake)
        right, fitting = d.conditional(real, condition), d.conditional(fake, condition)
        wrong = d.conditional(real[:-1], condition[1:]) if self.config.objective == "code" else None
        logits = d.unconditional(real), right, d.unconditional(fake), fitting, wrong
        return losses.attngan_discriminator(*logits, objective=self.config.objective)

    def generator(self, discriminators, made, text, classes):
        """To be called real at every size, alone and with its sentence; that words and sentence are found in its
        pictures; the divergence of the conditioning augmentation; the stages' own terms."""
        config = self.config
        half = 0.5 if config.objective == "paper" else 1.0  # equation 4 of AttnGAN has it, the code has not
        terms = {"adversarial": half * two_headed(discriminators, made.images, text.sentence)}
        seen = made.images if config.damsm_scales == "all" else made.images[-1:]
        terms |= self.damsm(seen, text, classes)
        terms["kl"] = divergence(config, made)
        return terms | {name: config.option(f"{name}_weight") * term for name, term in (made.terms or {}).items()}

    def damsm(self, images: list[Tensor], text: TextFeatures, classes: Tensor) -> dict[str, Tensor]:
        """DAMSM's terms of words and of sentences, weighted and summed over ``images`` (AttnGAN, equations 12 to 14).

        Every caption is compared with every picture of the whole batch, also where several processes share it.
        """
        config, words, sentence = self.config, 0.0, 0.0
        gammas = losses.Gammas(config.gamma_attention, config.gamma_words, config.gamma_matching)
        text, classes = TextFeatures(*map(self.gather, text)), self.gather(classes)
        for image in images:
            seen = ImageFeatures(*map(self.gather, self.image_encoder(image)))
            matching = losses.damsm(seen, text, classes, gammas)
            words = words + config.damsm_weight * (matching.words_captions + matching.words_images)
            sentence = sentence + config.damsm_weight * (matching.sentence_captions + matching.sentence_images)
        return {"words": words, "sentence": sentence}


def two_headed(discriminators: nn.ModuleList, images: list[Tensor], condition: Tensor) -> Tensor:
    """What it costs a generator that its pictures are not called real, with the caption and alone, at every size."""
    loss = 0.0
    for d, image in zip(discriminators, images, strict=True):
        features = d.features(image)
        for logits in (d.conditional(features, condition), d.unconditional(features)):
            loss = loss + losses.bce_real(logits)
    return loss


def divergence(config, made: Generated) -> Tensor:
    """The conditioning augmentation's divergence from a standard normal, weighted."""
    return config.kl_weight * losses.kullback_leibler(made.mean, made.log_variance)


OBJECTIVES: dict[type[Config], type[Objective]] = {
    GanClsConfig: MatchingAware,
    StackGanConfig: StackGan,
    StackGanStage2Config: StackGan,
    StackGanTreeConfig: StackGanTree,
    MultiStageConfig: AttnGan,
}
