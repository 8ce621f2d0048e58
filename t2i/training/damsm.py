"""DAMSM's pre-training (Xu et al., AttnGAN, CVPR 2018): captions and images learn to find each other."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from t2i import data, galleries, losses
from t2i.data.dataset import ImageTextDataset, batch_indices, rng_for
from t2i.text import ImageFeatures
from t2i.text.damsm import ImageEncoder, TextEncoder, initialise
from t2i.training.recipe import Recipe
from t2i.training.texts import WordTexts, captions_of, say_what_is_lost, vocabulary
from t2i.training.trunks import backbone, trunk

VALIDATED = 2000  # unseen images that a recall is measured on while training; COCO has 40,504


class Batch(NamedTuple):
    """``images`` (B, 3, s, s), ``captions`` (B, T) with their ``lengths`` (B,), and ``classes`` (B,)."""

    images: Tensor
    captions: Tensor
    lengths: Tensor
    classes: Tensor


class Damsm(Recipe):
    """Adam on both encoders and the four matching losses of one batch of pairs.

    The losses compare every caption with every image, so each process of a data-parallel run computes the whole batch,
    as with Char-CNN-RNN.
    """

    @classmethod
    def backbone(cls, config):
        return backbone(config)

    @classmethod
    def read(cls, config):
        return data.load(config).with_words()

    @classmethod
    def build(cls, config, index, basis):
        words = vocabulary(index, config.captions_per_image)
        image, text = ImageEncoder(trunk(config)), TextEncoder(len(words), config.rnn)
        initialise(text, image)
        text.vocabulary = words
        return {"encoder": text, "image": image}

    def __init__(self, config, index, fabric, networks, basis):
        super().__init__(config, index, fabric, networks, basis)
        self.data = ImageTextDataset.from_config(config, index)
        few = dict(split="test", limit=VALIDATED)
        unseen = ImageTextDataset.from_config(config, index, **few) if index.split("test") else None
        self.unseen = unseen if unseen and len(unseen.certain) else None
        encoder, captions = networks["encoder"], captions_of(self.data.examples)
        say_what_is_lost(captions, words=True)
        self.vocabulary = encoder.vocabulary
        self.captions = WordTexts(encoder, captions, config.captions_per_image, config.words)
        self.data.to(fabric.device)  # decoded now, not in the middle of the first step
        self.batch_size = min(config.batch_size, len(self.data))
        self.gammas = losses.Gammas(config.gamma_attention, config.gamma_words, config.gamma_matching)
        self.text, self.image = self.add("encoder", self.adam("encoder")), self.add("image", self.adam("image"))

    def adam(self, name: str) -> torch.optim.Optimizer:
        learned = [parameter for parameter in self.networks[name].parameters() if parameter.requires_grad]
        return torch.optim.Adam(learned, self.config.learning_rate, betas=(0.5, 0.999))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.data) // self.batch_size

    def batch(self, step: int) -> Batch:
        indices = batch_indices(len(self.data), self.batch_size, self.config.seed, step)
        (images,) = self.data.images(indices, rng_for(self.config.seed, step, "images"))
        captions, lengths = self.captions.draw(indices, rng_for(self.config.seed, step, "captions"))
        return Batch(images, captions, lengths, torch.from_numpy(self.data.labels[indices]))

    def train_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        if self.epoch(step) != self.epoch(step - 1):  # the official code builds a new Adam for every epoch
            for optimizer in self.optimizers.values():
                optimizer.state.clear()
        self.set_learning_rate(learning_rate(self.config, self.epoch(step)))
        images, captions, classes = (self.to_device(x) for x in (batch.images, batch.captions, batch.classes))
        terms = losses.damsm(
            ImageFeatures(*self.image(images)),
            self.text(captions, batch.lengths),
            classes if self.config.class_mask else None,
            self.gammas,
        )
        self._update(sum(terms))
        return {"loss": sum(terms), "words": terms[0] + terms[1], "sentence": terms[2] + terms[3]}

    def _update(self, loss: Tensor) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        self.fabric.backward(loss)
        clip_grad_norm_(self.networks["encoder"].parameters(), self.config.clip_norm)
        for optimizer in self.optimizers.values():
            optimizer.step()

    def extras(self) -> dict:
        return {"vocabulary": self.vocabulary.words[1:]}

    def validate(self) -> dict[str, float]:
        """Recall@1 among 100 on the unseen classes: what says when to stop. Nothing where no pair is certain."""
        if self.unseen is None:
            return {}
        pair = [self.networks[name].eval() for name in ("encoder", "image")]
        found = galleries.recall(*pair, self.unseen, self.config.seed, words=False)
        for network in pair:
            network.train()
        return {f"unseen_{name}_recall": found[f"{name}_recall_at_1"] for name in ("captions", "images")}


def learning_rate(config, epoch: int) -> float:
    """Times 0.98 an epoch for as long as more than a tenth of the first rate is left."""
    if config.decay_per_epoch == 1:
        return config.learning_rate
    decays = math.ceil(math.log(0.1) / math.log(config.decay_per_epoch))
    return config.learning_rate * config.decay_per_epoch ** min(epoch, decays)
