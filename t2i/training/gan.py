"""One training step of every GAN of the course."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from t2i import data, device, models
from t2i.config import MultiStageConfig
from t2i.data.dataset import ImageTextDataset, batch_indices, rng_for, wrong_indices
from t2i.errors import UserError
from t2i.text import TextFeatures
from t2i.training import sheet
from t2i.training.average import recalibrate_batch_norm
from t2i.training.gather import Gather
from t2i.training.objectives import OBJECTIVES, DiscriminatorLosses
from t2i.training.recipe import Recipe, frozen, halvings
from t2i.training.texts import SentenceTexts, Words, WordTexts, captions_of, say_what_is_lost


class Batch(NamedTuple):
    """This process's shard of one step: ``images`` and, for objectives that want them, ``wrong`` ones of other classes,
    (b, 3, s, s) for each size; ``text`` as the texts drew it; ``classes`` (b,); and what the generator draws from,
    ``noise`` (b, Z) and ``eps`` (b, C), None without a conditioning augmentation."""

    images: list[Tensor]
    wrong: list[Tensor]
    text: TextFeatures | Words
    classes: Tensor
    noise: Tensor
    eps: Tensor | None


class Gan(Recipe):
    """One forward pass of G serves both updates: first every D, on pictures at its size, then G against the new Ds.

    What differs between models is where texts come from (:mod:`t2i.training.texts`) and what is minimised
    (:mod:`t2i.training.objectives`).
    """

    averaged = "generator"

    @classmethod
    def read(cls, config):
        index = data.load(config)
        return index.with_words() if isinstance(config, MultiStageConfig) else index

    @classmethod
    def build(cls, config, index, basis):
        networks = models.from_config(config)
        if basis.stage1 is not None:
            networks.generator.stage1.load_state_dict(basis.stage1.generator.state_dict())
        return networks._asdict()

    def __init__(self, config, index, fabric, networks, basis, objective=None):
        super().__init__(config, index, fabric, networks, basis)
        self.data = ImageTextDataset.from_config(config, index)
        self.batch_size = min(config.batch_size, len(self.data))
        self.shard = device.shard(fabric, self.batch_size)
        if self.shard.stop - self.shard.start < 2:
            problem = f"{config.model} needs at least two images in every process, for wrong pairs and batch norms"
            raise UserError(problem, f"Choose a --batch-size of {2 * fabric.world_size} or more.")
        self.data.to(fabric.device)  # decoded now, not in the middle of the first step
        self.texts = self.texts_of(basis.encoders)
        self.objective = objective or OBJECTIVES[type(config)](config)
        image_encoder = basis.encoders.image.to(fabric.device) if basis.encoders.sees_images else None
        self.objective.prepare(image_encoder, Gather(fabric))

        self.discriminators, self.condition_size = networks["discriminators"], networks["generator"].condition_size
        self.generator = self.add("generator", self.adam("generator"))
        called = DiscriminatorLosses(self.discriminators, self.objective)
        self.discriminator_losses = self.add("discriminators", self.adam("discriminators"), called)
        self.sheet_text = sheet.rows(basis.encoders.text, index).to(fabric.device)
        self.sheet_draws = [
            None if part is None else self.to_device(sheet.columns(part))
            for part in self.draws(partial(rng_for, config.seed, 0), sheet.SIDE, "sheet ")
        ]

    @property
    def objective_name(self) -> str:
        return type(self.objective).__name__

    def texts_of(self, encoders) -> SentenceTexts | WordTexts:
        """The captions of the training images, read by the model's encoder."""
        config, captions = self.config, captions_of(self.data.examples)
        say_what_is_lost(captions, encoders.reads_words)
        if encoders.reads_words:
            encoder = encoders.text.to(self.fabric.device)
            return WordTexts(encoder, captions, config.captions_per_image, config.words)
        return SentenceTexts(encoders.text, captions, self.fabric.device)

    def adam(self, name: str) -> torch.optim.Optimizer:
        learned = [parameter for parameter in self.networks[name].parameters() if parameter.requires_grad]
        return torch.optim.Adam(learned, self.config.learning_rate, betas=(0.5, 0.999), fused=True)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.data) // self.batch_size

    def halvings(self, epoch: int) -> int:
        """How often the rate has been halved by ``epoch``, from 0."""
        return halvings(self.config.halve_every, epoch)

    def draws(self, stream, count: int, name: str = "", part: slice = slice(None)) -> tuple[Tensor, Tensor | None]:
        """Noise (count, Z), and the draws of the conditioning augmentation (count, C) where there is one."""
        noise = normal(stream(f"{name}noise"), count, self.config.noise_size)[part]
        return noise, normal(stream(f"{name}eps"), count, self.condition_size)[part] if self.condition_size else None

    def batch(self, step: int) -> Batch:
        stream = partial(rng_for, self.config.seed, step)
        indices = batch_indices(len(self.data), self.batch_size, self.config.seed, step)
        images, wrong = self.data.images(indices, stream("images"), self.shard), []
        if self.objective.wrong == "other class":
            others = wrong_indices(self.data.labels, indices, stream("wrong"))
            wrong = self.data.images(others, stream("wrong images"), self.shard)
        text = self.texts.draw(indices, stream("captions"), self.shard)
        classes = torch.from_numpy(self.data.labels[indices[self.shard]])
        return Batch(images, wrong, text, classes, *self.draws(stream, self.batch_size, part=self.shard))

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        self.set_learning_rate(self.config.learning_rate * 0.5 ** self.halvings(self.epoch(step)))
        reals, wrongs = ([self.to_device(image) for image in images] for images in (batch.images, batch.wrong))
        text = self.texts.read(batch.text, self.fabric.device)
        made = self.generator(self.to_device(batch.noise), text, self.to_device(batch.eps))

        fakes, condition = [image.detach() for image in made.images], self.objective.condition(made, text).detach()
        d_losses = self.discriminator_losses(reals, fakes, condition, wrongs)
        self.update("discriminators", d_losses.sum())

        with frozen(self.discriminators), self.fabric.autocast():
            terms = self.objective.generator(self.discriminators, made, text, self.to_device(batch.classes))
        self.update("generator", sum(terms.values()))
        return {"d_loss": d_losses.sum()} | {f"g_{name}": term for name, term in terms.items()} | self.objective.logged

    def extras(self) -> dict:
        stage1 = self.basis.stage1
        own = {"stage1": stage1.config.to_dict()} if stage1 is not None else {}
        return {"text_encoder": self.basis.encoders.kept()} | own

    def recalibrate(self, model: nn.Module) -> None:
        def draw(k: int) -> None:
            rng = rng_for(self.config.seed, k, "recalibration")
            drawn = self.texts.draw(rng.integers(len(self.data), size=self.batch_size), rng)
            noise, eps = (self.to_device(part) for part in self.draws(lambda _: rng, self.batch_size))
            model(noise, self.texts.read(drawn, self.fabric.device), eps)

        with self.fabric.autocast():
            recalibrate_batch_norm(model, draw)

    def preview(self, model: nn.Module, file: Path) -> None:
        noise, eps = self.sheet_draws
        with torch.inference_mode(), self.fabric.autocast():
            pictures = model(noise, self.sheet_text, eps).images[-1]
        sheet.save(pictures, file)


class GanClsBatch(NamedTuple):
    """A :class:`Batch` without classes, and what G's own pass draws from: ``g_sentence`` (b, N_s) and ``g_noise``
    (b, Z), each text weighing ``g_weight`` (b,). GAN-INT adds half as many texts, which nobody wrote."""

    images: list[Tensor]
    wrong: list[Tensor]
    sentence: Tensor
    noise: Tensor
    g_sentence: Tensor
    g_noise: Tensor
    g_weight: Tensor


class GanCls(Gan):
    """GAN-CLS and GAN-CLS-INT (Reed et al., ICML 2016, with the details of the authors' scripts): one update of D on
    (real, right), (wrong, right) and (fake, right) pairs, then one of G with fresh noise.

    The scripts draw each image by itself, a class first; here an epoch is a shuffle of all images. They cut 64 px from
    76 at offsets of 1 to 12, here of 0 to 12.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.half = device.shard(self.fabric, self.batch_size // 2 if self.config.interpolation_weight else 0)

    def texts_of(self, encoders):
        captions, config = captions_of(self.data.examples), self.config
        averaged = config.captions_averaged, config.captions_replaced
        return SentenceTexts(encoders.text, captions, self.fabric.device, *averaged)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.data) // self.batch_size)  # the scripts count the incomplete last batch

    def halvings(self, epoch: int) -> int:
        return super().halvings(epoch + 1)  # they count epochs from 1 and halve before one: first after 99, not 100

    def batch(self, step: int) -> GanClsBatch:
        images, wrong, _, _, noise, _ = super().batch(step)
        stream = partial(rng_for, self.config.seed, step)
        indices = batch_indices(len(self.data), self.batch_size, self.config.seed, step)
        whole = self.texts.draw(indices, stream("captions")).sentence
        half = len(whole) // 2
        between = (whole[:half] + whole[half : 2 * half]) / 2
        fresh = normal(stream("fresh noise"), len(whole) + half, self.config.noise_size)
        g_sentence = torch.cat([whole[self.shard], between[self.half]])
        g_noise = torch.cat([fresh[self.shard], fresh[len(whole) :][self.half]])
        weight = torch.ones(len(g_sentence))
        weight[self.shard.stop - self.shard.start :] = self.config.interpolation_weight
        return GanClsBatch(images, wrong, whole[self.shard], noise, g_sentence, g_noise, weight)

    def train_step(self, batch: GanClsBatch, step: int) -> dict[str, Tensor]:
        self.set_learning_rate(self.config.learning_rate * 0.5 ** self.halvings(self.epoch(step)))
        reals, wrongs = ([self.to_device(image) for image in images] for images in (batch.images, batch.wrong))
        text, g_text = (TextFeatures(None, self.to_device(s), None) for s in (batch.sentence, batch.g_sentence))
        with torch.no_grad():
            fakes = self.generator(self.to_device(batch.noise), text, None).images
        d_loss = self.discriminator_losses(reals, fakes, text.sentence, wrongs).sum()
        self.update("discriminators", d_loss)

        made = self.generator(self.to_device(batch.g_noise), g_text, None)
        with frozen(self.discriminators), self.fabric.autocast():
            terms = self.objective.generator(self.discriminators, made, g_text, self.to_device(batch.g_weight))
        self.update("generator", sum(terms.values()))
        return {"d_loss": d_loss, "g_loss": sum(terms.values())} | self.objective.logged


def normal(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """(count, size) standard normal numbers."""
    return torch.from_numpy(rng.standard_normal((count, size), dtype=np.float32))
