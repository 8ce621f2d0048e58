"""One training step of the Char-CNN-RNN that GAN-CLS reads with on COCO: captions of one image are pulled together."""

import numpy as np
import torch
from torch import Tensor

from t2i import losses
from t2i.data.dataset import ImageTextDataset, batch_indices, rng_for
from t2i.errors import UserError
from t2i.text.char_cnn_rnn import CharCnnRnn, initialise_convolutions
from t2i.text.characters import LENGTH, characters
from t2i.training.recipe import Recipe, halvings
from t2i.training.texts import captions_of, say_what_is_lost


class CaptionPairs(Recipe):
    """Adam on the joint embedding of two different captions of each image, without pictures (Reed et al., ICML 2016, as
    in main_txt_coco.lua). The loss has one side: every second caption seeks its image's first among those of the batch.

    Images are drawn in shuffled epochs, officially each by itself. As with images, every process of a data-parallel run
    computes the whole batch.
    """

    @classmethod
    def build(cls, config, index, basis):
        encoder = CharCnnRnn(config.variant, config.channels, config.embedding_size)
        initialise_convolutions(encoder)
        return {"encoder": encoder, "image": torch.nn.Identity()}

    def __init__(self, config, index, fabric, networks, basis):
        super().__init__(config, index, fabric, networks, basis)
        self.data = ImageTextDataset.from_config(config, index)
        for example in self.data.examples:
            if len(example.captions) < 2:
                problem = f"{example.key} has one caption, and {config.model} learns from pairs"
                raise UserError(problem, "Write another, or take the image out of the set.")
        say_what_is_lost(captions_of(self.data.examples), words=False)
        self.symbols = [characters(example.captions, LENGTH).to(torch.uint8) for example in self.data.examples]
        self.batch_size = min(config.batch_size, len(self.data))
        optimizer = torch.optim.Adam(networks["encoder"].parameters(), config.learning_rate, betas=(0.5, 0.999))
        self.encoder = self.add("encoder", optimizer)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.data) // self.batch_size)  # the script counts the incomplete last batch

    def batch(self, step: int) -> Tensor:
        """A first caption of each image, then a second one of each: (2 B, 201)."""
        rng = rng_for(self.config.seed, step, "captions")
        drawn = [self.symbols[i] for i in batch_indices(len(self.data), self.batch_size, self.config.seed, step)]
        pairs = np.stack([rng.permutation(len(written))[:2] for written in drawn])
        return torch.stack([written[k] for column in pairs.T for written, k in zip(drawn, column, strict=True)]).long()

    def train_step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        epoch = self.epoch(step) + 1  # the script counts from 1, and halves before an epoch
        self.set_learning_rate(self.config.learning_rate * 0.5 ** halvings(self.config.halve_every, epoch))
        first, second = self.encoder(batch.to(self.fabric.device)).chunk(2)
        loss = losses.joint_embedding(second, first, symmetric=False)
        self.update("encoder", loss)
        right = (second @ first.T).argmax(dim=1) == torch.arange(len(first), device=first.device)
        return {"loss": loss, "batch_accuracy": right.float().mean()}
