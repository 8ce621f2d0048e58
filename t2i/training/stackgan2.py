"""One training step of StackGAN++ (Zhang et al., TPAMI 2018, as in the authors' code): all stages at once."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from t2i import losses
from t2i.data.dataset import batch_indices, rng_for, wrong_indices
from t2i.models.generator import Generated
from t2i.training.recipe import frozen
from t2i.training.sentence_gan import SentenceGan


class Batch(NamedTuple):
    """This process's part of one step: ``real`` and ``wrong`` pictures (b, 3, s, s) for each size, ``sentence`` (b,
    1024), and what the generator draws from, ``noise`` (b, Z) and ``eps`` (b, C)."""

    real: list[Tensor]
    wrong: list[Tensor]
    sentence: Tensor
    noise: Tensor
    eps: Tensor


class StackGanTree(SentenceGan):
    """One forward pass of G serves both updates: every D on pictures at its size, then G against the new Ds.

    A wrong picture is always of another class; the official code draws once more where the class is the same, and then
    takes what comes.
    """

    def judgement(self) -> nn.Module:
        return Judgement(self.judges)

    def batch(self, step: int) -> Batch:
        config, stream = self.config, lambda name: rng_for(self.config.seed, step, name)
        indices = batch_indices(len(self.data), self.batch_size, config.seed, step)
        wrong = wrong_indices(self.data.labels, indices, stream("wrong"))
        real_images = self.data.images(indices, stream("real"), self.part)
        wrong_images = self.data.images(wrong, stream("wrong images"), self.part)
        sentence = self.sentences.average(indices, 1, stream("captions"))
        noise = self._noise(stream("noise"), self.batch_size)
        eps = self._noise(stream("eps"), self.batch_size, config.condition_size)
        return Batch(real_images, wrong_images, *(part[self.part] for part in (sentence, noise, eps)))

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        reals, wrongs = ([self.to_device(image) for image in images] for images in (batch.real, batch.wrong))
        sentence, noise, eps = (self.to_device(part) for part in (batch.sentence, batch.noise, batch.eps))
        made = self.draw(noise, sentence, eps)

        d_losses = self.trained_judge(reals, wrongs, [image.detach() for image in made.images], made.mean.detach())
        self.update("discriminators", d_losses.sum())

        with frozen(self.judges), self.fabric.autocast():
            terms = generator_terms(self.judges, made, self.config.kl_weight)
        self.update("generator", sum(terms.values()))
        return {"d_loss": d_losses.sum()} | {f"g_{name}": term for name, term in terms.items()}


class Judgement(nn.Module):
    """Every discriminator's loss as one forward pass, which is what data-parallel training wraps."""

    def __init__(self, judges: nn.ModuleList):
        super().__init__()
        self.judges = judges

    def forward(self, reals: list[Tensor], wrongs: list[Tensor], fakes: list[Tensor], mean: Tensor) -> Tensor:
        """The losses of the discriminators, one each."""
        pictures = zip(self.judges, reals, wrongs, fakes, strict=True)
        return torch.stack([discriminator_loss(judge, *three, mean) for judge, *three in pictures])


def discriminator_loss(judge: nn.Module, real: Tensor, wrong: Tensor, fake: Tensor, mean: Tensor) -> Tensor:
    """One discriminator's loss on a real picture of the caption with μ (B, C), a real one of another, and a generated
    one, (B, 3, s, s) each; a wrong picture counts as real where it is judged alone."""
    judged = []
    for picture in (real, wrong, fake):
        features = judge.features(picture)
        judged.append((judge.conditional(features, mean), judge.unconditional(features)))
    return losses.stackgan2_discriminator(*zip(*judged, strict=True))


def generator_terms(judges: nn.ModuleList, made: Generated, kl_weight: float) -> dict[str, Tensor]:
    """What G minimises: to be called real at every size, with its caption and alone, and the divergence of the
    conditioning augmentation. Here the Ds' opinions teach μ as well, which StackGAN detaches."""
    adversarial = 0.0
    for judge, image in zip(judges, made.images, strict=True):
        features = judge.features(image)
        for logits in (judge.conditional(features, made.mean), judge.unconditional(features)):
            adversarial = adversarial + losses.bce_real(logits)
    divergence = kl_weight * losses.kullback_leibler(made.mean, made.log_variance)
    return {"adversarial": adversarial, "kl": divergence}
