"""One training step of GAN-CLS and GAN-CLS-INT (Reed et al., ICML 2016, with the details of the authors' scripts)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from t2i import device, losses, models
from t2i.data.dataset import ImageTextDataset, batch_indices, rng_for, wrong_indices
from t2i.text import TextFeatures
from t2i.training import sheet
from t2i.training.encoders import encoder_run
from t2i.training.recipe import Recipe, frozen
from t2i.training.sentences import SentenceTable
from t2i.training.settling import settle


class Batch(NamedTuple):
    """This process's part of one step: b pairs for D, and b (with interpolation 1.5 b) texts for G.

    ``real`` and ``wrong`` (b, 3, s, s); ``sentence`` (b, 1024); the ``g_`` fields have one row per text of G's step.
    """

    real: Tensor
    wrong: Tensor
    sentence: Tensor
    noise: Tensor
    g_sentence: Tensor
    g_noise: Tensor
    g_weight: Tensor


class GanCls(Recipe):
    """One update of D on (real, right), (wrong, right) and (fake, right) pairs, then one of G with fresh noise."""

    averaged = "generator"

    def __init__(self, config, index, fabric, saved=None):
        super().__init__(config, index, fabric, saved)
        self.encoder_run = encoder_run(config, self.saved)
        encoder = self.encoder_run.encoder
        size = (config.image_size,)
        self.data = ImageTextDataset(index, "train", size, config.crop, config.resize, config.images_per_class)
        self.sentences = SentenceTable(encoder, [example.captions for example in self.data.examples], fabric.device)
        self.batch_size = min(config.batch_size, len(self.data))
        self.part = device.share(fabric, self.batch_size)
        self.half = device.share(fabric, self.batch_size // 2) if config.interpolation_weight else slice(0, 0)
        _ = self.data.cache  # decode now, not in the middle of the first step

        networks = models.from_config(config)
        self.judge = networks.discriminators[0]
        optimizers = [
            torch.optim.Adam(n.parameters(), config.learning_rate, betas=(0.5, 0.999), fused=True) for n in networks
        ]
        self.generator = self.add("generator", networks.generator, optimizers[0])
        self.trained_judge = self.add("discriminators", networks.discriminators, optimizers[1], called=self.judge)
        self.sheet_text = sheet.rows(encoder, index).to(fabric.device)
        self.sheet_noise = sheet.columns(self._noise(rng_for(config.seed, 0, "sheet"), sheet.SIDE)).to(fabric.device)

    def total_steps(self) -> int:
        return self.config.steps or self.config.epochs * self._steps_per_epoch

    @property
    def _steps_per_epoch(self) -> int:
        return len(self.data) // self.batch_size

    def batch(self, step: int) -> Batch:
        config, stream = self.config, lambda name: rng_for(self.config.seed, step, name)
        indices = batch_indices(len(self.data), self.batch_size, config.seed, step)
        wrong = wrong_indices(self.data.labels, indices, stream("wrong"))
        (real_images,) = self.data.images(indices, stream("real"), self.part)
        (wrong_images,) = self.data.images(wrong, stream("wrong images"), self.part)
        sentence = self.sentences.average(indices, config.captions_averaged, stream("captions"))
        first, second = sentence.tensor_split(2)
        between = (first + second[: len(first)]) / 2  # GAN-INT: texts that nobody wrote, halfway between two
        g_sentence = torch.cat([sentence[self.part], between[self.half]])
        weight = torch.ones(len(g_sentence))
        weight[self.part.stop - self.part.start :] = config.interpolation_weight
        noise = self._noise(stream("noise"), self.batch_size)[self.part]
        fresh = self._noise(stream("fresh noise"), self.batch_size + len(between))
        g_noise = torch.cat([fresh[self.part], fresh[self.batch_size :][self.half]])
        return Batch(real_images, wrong_images, sentence[self.part], noise, g_sentence, g_noise, weight)

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        config = self.config
        batch = Batch(*(self.to_device(part) for part in batch))
        self.set_learning_rate(config.learning_rate * 0.5 ** (step // self._steps_per_epoch // config.halve_every))

        with torch.no_grad():
            fake = self._draw(batch.noise, batch.sentence)
        d_real, d_wrong, d_fake = (self.trained_judge(x, batch.sentence) for x in (batch.real, batch.wrong, fake))
        d_loss = losses.matching_aware(d_real, d_wrong, d_fake, config.wrong_weight)
        self.update("discriminators", d_loss)

        with frozen(self.judge), self.fabric.autocast():
            logits = self.judge(self._draw(batch.g_noise, batch.g_sentence), batch.g_sentence)
        g_loss = losses.real(logits.float(), batch.g_weight)
        self.update("generator", g_loss)
        scores = {"real": d_real, "wrong": d_wrong, "fake": d_fake}
        return {"d_loss": d_loss, "g_loss": g_loss} | {
            f"score_{n}": s.detach().sigmoid().mean() for n, s in scores.items()
        }

    def extras(self) -> dict:
        return {"text_encoder": self.encoder_run.as_encoder()}

    def settle(self, model: nn.Module) -> None:
        def draw(k: int) -> None:
            rng = rng_for(self.config.seed, k, "settling")
            sentence = self.sentences.average(rng.integers(len(self.data), size=self.batch_size), 1, rng)
            text = TextFeatures(None, self.to_device(sentence), None)
            model(self.to_device(self._noise(rng, self.batch_size)), text)

        with self.fabric.autocast():
            settle(model, draw)

    def preview(self, model: nn.Module, file: Path) -> None:
        with torch.inference_mode(), self.fabric.autocast():
            pictures = model(self.sheet_noise, self.sheet_text).images[-1]
        sheet.save(pictures, file)

    def _draw(self, noise: Tensor, sentence: Tensor) -> Tensor:
        return self.generator(noise, TextFeatures(None, sentence, None)).images[-1]

    def _noise(self, rng: np.random.Generator, count: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((count, self.config.noise_size), dtype=np.float32))
