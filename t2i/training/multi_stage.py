"""One training step of AttnGAN, DM-GAN and every other generator that is a list of stages."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from t2i import device, losses, models
from t2i.data.dataset import ImageTextDataset, batch_indices, rng_for
from t2i.errors import UserError
from t2i.models.generator import Generated
from t2i.text import ImageFeatures, TextFeatures
from t2i.training import sheet
from t2i.training.encoders import encoder_run
from t2i.training.recipe import Recipe, frozen
from t2i.training.settling import settle
from t2i.training.words import WordTable


class Batch(NamedTuple):
    """This process's part of one step: ``images`` (b, 3, s, s) for each size, ``captions`` (b, T) with ``lengths``
    (b,), ``classes`` (b,), and what the generator draws from, ``noise`` (b, Z) and ``eps`` (b, C)."""

    images: list[Tensor]
    captions: Tensor
    lengths: Tensor
    classes: Tensor
    noise: Tensor
    eps: Tensor


class MultiStage(Recipe):
    """One forward pass of G serves both updates: first every D, on pictures at its size, then G against the new Ds."""

    averaged = "generator"

    def __init__(self, config, index, fabric, saved=None):
        index = index.with_words()
        super().__init__(config, index, fabric, saved)
        self.encoder_run = encoder_run(config, self.saved)
        self.text, self.judge_of_words = (
            encoder.to(fabric.device) for encoder in (self.encoder_run.encoder, self.encoder_run.image_encoder)
        )
        self.data = ImageTextDataset(index, "train", config.sizes, config.crop, config.resize, config.images_per_class)
        self.captions = WordTable(self.data.examples, self.text.require_vocabulary(), config.captions_per_image)
        _ = self.data.cache  # decode now, not in the middle of the first step
        self.batch_size = min(config.batch_size, len(self.data))
        self.part = device.shard(fabric, self.batch_size)
        if self.part.stop - self.part.start < 2:
            problem = f"{config.model} needs at least two images in every process, one to be wrong for the other"
            raise UserError(problem, f"Choose a --batch-size of {2 * fabric.world_size} or more.")

        networks = models.from_config(config)
        adam = dict(lr=config.learning_rate, betas=(0.5, 0.999), fused=True)
        optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in networks]
        self.judges = networks.discriminators
        self.generator = self.add("generator", networks.generator, optimizers[0])
        self.judge = self.add(
            "discriminators", self.judges, optimizers[1], called=Judgement(self.judges, config.objective)
        )
        self.sheet_text = sheet.rows(self.text, index).to(fabric.device)
        draws = self._draws(rng_for(config.seed, 0, "sheet"), sheet.SIDE)
        self.sheet_noise, self.sheet_eps = (sheet.columns(part).to(fabric.device) for part in draws)

    def total_steps(self) -> int:
        return self.config.steps or self.config.epochs * (len(self.data) // self.batch_size)

    def batch(self, step: int) -> Batch:
        config, stream = self.config, lambda name: rng_for(self.config.seed, step, name)
        indices = batch_indices(len(self.data), self.batch_size, config.seed, step)
        images = self.data.images(indices, stream("images"), self.part)
        captions, lengths = self.captions.draw(indices, config.words, stream("captions"))
        noise, eps = self._draws(stream("noise"), self.batch_size)
        classes = torch.from_numpy(self.data.labels[indices])
        return Batch(images, *(part[self.part] for part in (captions, lengths, classes, noise, eps)))

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        reals = [self.to_device(image) for image in batch.images]
        captions, classes, noise, eps = (
            self.to_device(x) for x in (batch.captions, batch.classes, batch.noise, batch.eps)
        )
        with torch.no_grad(), self.fabric.autocast():
            text = self.text(captions, batch.lengths)
        made = self.generator(noise, text, eps)

        d_losses = self.judge(reals, [image.detach() for image in made.images], text.sentence)
        self.update("discriminators", d_losses.sum())

        with frozen(self.judges), self.fabric.autocast():
            terms = generator_terms(self.config, self.judges, self.judge_of_words, made, text, classes)
        self.update("generator", sum(terms.values()))
        return {"d_loss": d_losses.sum()} | {f"g_{name}": term for name, term in terms.items()}

    def extras(self) -> dict:
        return {"text_encoder": self.encoder_run.as_encoder()}

    def settle(self, model: nn.Module) -> None:
        def draw(k: int) -> None:
            rng = rng_for(self.config.seed, k, "settling")
            captions, lengths = self.captions.draw(
                rng.integers(len(self.data), size=self.batch_size), self.config.words, rng
            )
            noise, eps = (self.to_device(part) for part in self._draws(rng, self.batch_size))
            model(noise, self.text(self.to_device(captions), lengths), eps)

        with self.fabric.autocast():
            settle(model, draw)

    def preview(self, model: nn.Module, file: Path) -> None:
        with torch.inference_mode(), self.fabric.autocast():
            pictures = model(self.sheet_noise, self.sheet_text, self.sheet_eps).images[-1]
        sheet.save(pictures, file)

    def _draws(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Noise (count, Z) and the draws of the conditioning augmentation (count, C)."""
        sizes = self.config.noise_size, self.config.condition_size
        return tuple(torch.from_numpy(rng.standard_normal((count, size), dtype=np.float32)) for size in sizes)


class Judgement(nn.Module):
    """The losses of all discriminators in one forward pass, as data-parallel training wants it."""

    def __init__(self, judges: nn.ModuleList, objective: str = "code"):
        super().__init__()
        self.judges, self.objective = judges, objective

    def forward(self, reals: list[Tensor], fakes: list[Tensor], sentence: Tensor) -> Tensor:
        """Pictures (B, 3, s, s) for each size, small to large -> the losses, one for each size."""
        each = zip(self.judges, reals, fakes, strict=True)
        return torch.stack([discriminator_loss(judge, *pair, sentence, self.objective) for judge, *pair in each])


def discriminator_loss(
    judge: nn.Module, real: Tensor, fake: Tensor, sentence: Tensor, objective: str = "code"
) -> Tensor:
    """AttnGAN's: real and fake go through separately, each with batch statistics of its own; image i with caption i + 1
    is the wrong pair, whatever its class."""
    real, fake = judge.features(real), judge.features(fake)
    right, fake_right = judge.conditional(real, sentence), judge.conditional(fake, sentence)
    wrong = judge.conditional(real[:-1], sentence[1:])
    logits = judge.unconditional(real), right, judge.unconditional(fake), fake_right, wrong
    return losses.attngan_discriminator(*logits, objective=objective)


def generator_terms(
    config, judges: nn.ModuleList, image_encoder: nn.Module, made: Generated, text: TextFeatures, classes: Tensor
) -> dict[str, Tensor]:
    """What the generator minimises, weighted: to be called real at every size, alone and with its sentence; that words
    and sentence are found in its pictures; the divergence of the conditioning augmentation; the stages' own terms."""
    half = 0.5 if config.objective == "paper" else 1.0  # equation 4 of AttnGAN has it, the code has not
    gammas = losses.Gammas(config.gamma_attention, config.gamma_words, config.gamma_matching)
    adversarial, words, sentence = 0.0, 0.0, 0.0
    for judge, image in zip(judges, made.images, strict=True):
        features = judge.features(image)
        for logits in (judge.conditional(features, text.sentence), judge.unconditional(features)):
            adversarial = adversarial + half * losses.bce_real(logits)
    for image in made.images if config.damsm_scales == "all" else made.images[-1:]:
        matching = losses.damsm(ImageFeatures(*image_encoder(image)), text, classes, gammas)
        words = words + config.damsm_weight * (matching.words_captions + matching.words_images)
        sentence = sentence + config.damsm_weight * (matching.sentence_captions + matching.sentence_images)
    divergence = config.kl_weight * losses.kullback_leibler(made.mean, made.log_variance)
    terms = {"adversarial": adversarial, "words": words, "sentence": sentence, "kl": divergence}
    own = {name: config.option(f"{name}_weight") * term for name, term in (made.terms or {}).items()}
    return terms | own
