"""One training step of GAN-CLS and GAN-CLS-INT (Reed et al., ICML 2016, with the details of the authors' scripts)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from t2i import device, losses
from t2i.data.dataset import batch_indices, rng_for, wrong_indices
from t2i.training.recipe import frozen
from t2i.training.sentence_gan import SentenceGan


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


class GanCls(SentenceGan):
    """One update of D on (real, right), (wrong, right) and (fake, right) pairs, then one of G with fresh noise."""

    def __init__(self, config, index, fabric, saved=None):
        super().__init__(config, index, fabric, saved)
        self.half = device.shard(fabric, self.batch_size // 2) if config.interpolation_weight else slice(0, 0)

    @property
    def judge(self) -> nn.Module:
        return self.judges[0]

    def judgement(self) -> nn.Module:
        return self.judge

    def batch(self, step: int) -> Batch:
        config, stream = self.config, lambda name: rng_for(self.config.seed, step, name)
        indices = batch_indices(len(self.data), self.batch_size, config.seed, step)
        wrong = wrong_indices(self.data.labels, indices, stream("wrong"))
        (real_images,) = self.data.images(indices, stream("real"), self.part)
        (wrong_images,) = self.data.images(wrong, stream("wrong images"), self.part)
        sentence = self.sentences.average(indices, config.captions_averaged, stream("captions"))
        half = len(sentence) // 2
        between = (sentence[:half] + sentence[half : 2 * half]) / 2  # GAN-INT: texts that nobody wrote
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
        self.halve_learning_rate(step)

        with torch.no_grad():
            fake = self._draw(batch.noise, batch.sentence)
        d_real, d_wrong, d_fake = (self.trained_judge(x, batch.sentence) for x in (batch.real, batch.wrong, fake))
        d_loss = losses.matching_aware(d_real, d_wrong, d_fake, config.wrong_weight)
        self.update("discriminators", d_loss)

        with frozen(self.judge), self.fabric.autocast():
            logits = self.judge(self._draw(batch.g_noise, batch.g_sentence), batch.g_sentence)
        g_loss = losses.bce_real(logits, batch.g_weight)
        self.update("generator", g_loss)
        scores = {"real": d_real, "wrong": d_wrong, "fake": d_fake}
        return {"d_loss": d_loss, "g_loss": g_loss} | {
            f"score_{n}": s.detach().sigmoid().mean() for n, s in scores.items()
        }

    def _draw(self, noise: Tensor, sentence: Tensor) -> Tensor:
        return self.draw(noise, sentence).images[-1]
