"""One training step of StackGAN's Stage-I and Stage-II (Zhang et al., ICCV 2017, as in the authors' PyTorch code)."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from t2i import config as configs
from t2i import losses, models
from t2i.data.dataset import batch_indices, rng_for
from t2i.models.generator import Generated
from t2i.training.recipe import frozen
from t2i.training.run import Run
from t2i.training.sentence_gan import SentenceGan


class Batch(NamedTuple):
    """This process's part of one step: ``real`` (b, 3, s, s), ``sentence`` (b, 1024), and what the generator draws
    from, ``noise`` (b, Z) and ``eps`` (b, C), or (b, 2C) for two stages."""

    real: Tensor
    sentence: Tensor
    noise: Tensor
    eps: Tensor


class StackGan(SentenceGan):
    """Stage-I. One forward pass of G serves both updates; each caption's wrong picture is that of its neighbour."""

    def judgement(self) -> nn.Module:
        return Judgement(self.judges[0])

    def batch(self, step: int) -> Batch:
        config, stream = self.config, lambda name: rng_for(self.config.seed, step, name)
        indices = batch_indices(len(self.data), self.batch_size, config.seed, step)
        (real,) = self.data.images(indices, stream("real"), self.part)
        sentence = self.sentences.average(indices, 1, stream("captions"))
        size = self.networks["generator"].condition_size
        noise, eps = (self._noise(stream(name), self.batch_size, n) for name, n in (("noise", None), ("eps", size)))
        return Batch(real, *(part[self.part] for part in (sentence, noise, eps)))

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        batch = Batch(*(self.to_device(part) for part in batch))
        self.halve_learning_rate(step)
        made = self.draw(batch.noise, batch.sentence, batch.eps)

        d_loss = self.trained_judge(batch.real, made.images[-1].detach(), made.mean.detach())
        self.update("discriminators", d_loss)

        with frozen(self.judges), self.fabric.autocast():
            terms = generator_terms(self.judges[0], made, self.config.kl_weight)
        self.update("generator", sum(terms.values()))
        return {"d_loss": d_loss} | {f"g_{name}": term for name, term in terms.items()}


class StackGanStage2(StackGan):
    """Stage-II: the same step, around a Stage-I that is trained first and never changes; it reads with the encoder that
    its Stage-I was trained with."""

    @classmethod
    def available(cls, config):
        """``config`` with the block and the encoder of a Stage-I folder; a run that has its Stage-I needs no folder."""
        found = configs.needs(config)["stage1"]
        if isinstance(found, Path) and (not (config.directory / "checkpoint.pt").exists() or found.is_dir()):
            return configs.following(config, Run.load(found).config)
        return config

    def reads_with(self) -> Run:
        if self.saved is not None:  # a checkpoint holds its Stage-I and that one's encoder
            return Run(self.config, self.saved)
        self.stage1_run = stage1_run(self.config)
        return self.stage1_run

    def build(self) -> models.Networks:
        networks = models.from_config(self.config)
        if self.saved is None:
            networks.generator.stage1.load_state_dict(self.stage1_run.generator.state_dict())
        return networks

    def extras(self) -> dict:
        stage1 = self.saved["extras"]["stage1"] if self.saved else self.stage1_run.config.to_dict()
        return super().extras() | {"stage1": stage1}


class Judgement(nn.Module):
    """:func:`discriminator_loss` as one forward pass, which is what data-parallel training wraps."""

    def __init__(self, judge: nn.Module):
        super().__init__()
        self.judge = judge

    def forward(self, real: Tensor, fake: Tensor, mean: Tensor) -> Tensor:
        return discriminator_loss(self.judge, real, fake, mean)


def discriminator_loss(judge: nn.Module, real: Tensor, fake: Tensor, mean: Tensor) -> Tensor:
    """What D minimises: a real picture (B, 3, s, s) fits its caption's μ (B, C), a generated one does not, nor does
    picture i the μ of caption i + 1, whatever its class; with a second head, also the pictures alone.

    Officially D is called in this order, on which the running statistics of its batch norms depend.
    """
    real, fake = judge.features(real), judge.features(fake)
    right, wrong = judge.conditional(real, mean), judge.conditional(real[:-1], mean[1:])
    fitting = judge.conditional(fake, mean)
    if judge.unconditional is None:
        return losses.matching_aware(right, wrong, fitting)
    logits = judge.unconditional(real), right, judge.unconditional(fake), fitting, wrong
    return losses.attngan_discriminator(*logits)


def generator_terms(judge: nn.Module, made: Generated, kl_weight: float) -> dict[str, Tensor]:
    """What G minimises: to be called real, with its caption and, where there is a head for it, alone; and the
    divergence of the conditioning augmentation, all that teaches μ besides the picture (D's is detached)."""
    features = judge.features(made.images[-1])
    adversarial = losses.bce_real(judge.conditional(features, made.mean.detach()))
    if judge.unconditional is not None:
        adversarial = adversarial + losses.bce_real(judge.unconditional(features))
    divergence = kl_weight * losses.kullback_leibler(made.mean, made.log_variance)
    return {"adversarial": adversarial, "kl": divergence}


def stage1_run(config: configs.StackGanStage2Config) -> Run:
    """The trained Stage-I of ``config``: the run in the folder that it names, or the one that belongs to the same data,
    profile and seed, which is trained first if need be.

    Raises :class:`UserError` where that run draws pictures of another size than a quarter, or has other widths.
    """
    from t2i.training.loop import fit  # fit trains Stage-II too, and that comes through here

    found = configs.needs(config)["stage1"]
    run = Run.load(found) if isinstance(found, Path) else None
    configs.following(config, run.config if run else found)
    if run:
        return run
    with torch.random.fork_rng(devices=[]):  # Stage-II begins alike whether its Stage-I is trained here or was before
        return fit(found)
