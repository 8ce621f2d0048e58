"""What GAN-CLS, StackGAN and StackGAN++ share in training: captions that a frozen encoder has read once, sheets of
samples, and the statistics of averaged weights."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2i import device, models
from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.errors import UserError
from t2i.text import TextFeatures
from t2i.training import published, sheet
from t2i.training.encoders import encoder_run
from t2i.training.recipe import Recipe
from t2i.training.run import Run
from t2i.training.sentences import SentenceTable
from t2i.training.settling import settle


class SentenceGan(Recipe):
    """A GAN that reads one vector for each caption. What it adds is a batch and a step.

    ``judges`` are the plain discriminators, ``trained_judge`` what :meth:`judgement` makes of them, as Fabric wraps it.
    """

    averaged = "generator"

    def __init__(self, config, index, fabric, saved=None):
        super().__init__(config, index, fabric, saved)
        self.encoder_run = self.reads_with()
        encoder = self.encoder_run.encoder
        sizes = getattr(config, "sizes", (config.image_size,))
        self.data = ImageTextDataset(index, "train", sizes, config.crop, config.resize, config.images_per_class)
        self.sentences = SentenceTable(encoder, [example.captions for example in self.data.examples], fabric.device)
        self.batch_size = min(config.batch_size, len(self.data))
        self.part = device.shard(fabric, self.batch_size)
        if self.part.stop - self.part.start < 2:
            problem = f"{config.model} needs at least two images in every process, for wrong pairs and batch norms"
            raise UserError(problem, f"Choose a --batch-size of {2 * fabric.world_size} or more.")
        _ = self.data.cache  # decode now, not in the middle of the first step

        networks = self.build()
        adam = dict(lr=config.learning_rate, betas=(0.5, 0.999), fused=True)
        optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in networks]
        self.judges = networks.discriminators
        self.generator = self.add("generator", networks.generator, optimizers[0])
        self.trained_judge = self.add("discriminators", self.judges, optimizers[1], called=self.judgement())
        self.sheet_text = sheet.rows(encoder, index).to(fabric.device)
        draws = self._draws(rng_for(config.seed, 0, "sheet"), sheet.SIDE, networks.generator.condition_size)
        self.sheet_noise, self.sheet_eps = (part if part is None else sheet.columns(part) for part in draws)

    def reads_with(self) -> Run | published.PublishedSource:
        """The run whose text encoder is used, or what stands for it."""
        if self.config.text_encoder == published.NAME:
            return published.PublishedSource(self.index)
        return encoder_run(self.config, self.saved)

    def build(self) -> models.Networks:
        """The networks before their first step."""
        return models.from_config(self.config)

    def judgement(self) -> nn.Module:
        """What the step calls with all that the discriminators are to judge, in one forward pass."""
        raise NotImplementedError

    def total_steps(self) -> int:
        return self.config.steps or self.config.epochs * self._steps_per_epoch

    @property
    def _steps_per_epoch(self) -> int:
        return len(self.data) // self.batch_size

    def halve_learning_rate(self, step: int) -> None:
        """Half the rate after every ``halve_every`` epochs."""
        self.set_learning_rate(
            self.config.learning_rate * 0.5 ** (step // self._steps_per_epoch // self.config.halve_every)
        )

    def draw(self, noise: Tensor, sentence: Tensor, eps: Tensor | None = None) -> models.Generated:
        return self.generator(noise, TextFeatures(None, sentence, None), eps)

    def _noise(self, rng: np.random.Generator, count: int, size: int | None = None) -> Tensor:
        """(count, size) normal numbers, by default as many as the noise has."""
        return torch.from_numpy(rng.standard_normal((count, size or self.config.noise_size), dtype=np.float32))

    def extras(self) -> dict:
        return {"text_encoder": self.encoder_run.as_encoder()}

    def settle(self, model: nn.Module) -> None:
        def draw(k: int) -> None:
            rng = rng_for(self.config.seed, k, "settling")
            sentence = self.sentences.average(rng.integers(len(self.data), size=self.batch_size), 1, rng)
            noise, eps = self._draws(rng, self.batch_size, model.condition_size)
            model(noise, TextFeatures(None, self.to_device(sentence), None), eps)

        with self.fabric.autocast():
            settle(model, draw)

    def preview(self, model: nn.Module, file: Path) -> None:
        with torch.inference_mode(), self.fabric.autocast():
            pictures = model(self.sheet_noise, self.sheet_text, self.sheet_eps).images[-1]
        sheet.save(pictures, file)

    def _draws(self, rng: np.random.Generator, count: int, condition_size: int) -> tuple[Tensor, Tensor | None]:
        """Noise, and the draw of the conditioning augmentation where there is one, on this process's device."""
        noise = self.to_device(self._noise(rng, count))
        return noise, self.to_device(self._noise(rng, count, condition_size)) if condition_size else None
