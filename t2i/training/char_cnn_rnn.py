"""One training step of Char-CNN-RNN: captions are pulled towards the features of the images they describe."""

import torch
from torch import Tensor, nn

from t2i import losses
from t2i.data.dataset import ImageTextDataset, distinct_class_indices, rng_for
from t2i.text.char_cnn_rnn import CharCnnRnn, initialise
from t2i.text.characters import LENGTH, characters
from t2i.training.image_features import backbone, projection, view_features
from t2i.training.recipe import Recipe
from t2i.training.texts import captions_of, say_what_is_lost


class CharCnnRnnRecipe(Recipe):
    """RMSProp on the joint embedding of one image and one caption from each of up to 40 classes.

    Each step sees one of ``views`` views of each image, as Reed's does. His ten came ready-made; ours are the middle,
    the corners, and these mirrored.

    The loss compares every caption with every image of the batch, so each process of a data-parallel run computes the
    whole batch; the batches are small and the result is that of one process.
    """

    @classmethod
    def backbone(cls, config):
        return backbone(config)

    @classmethod
    def build(cls, config, index, basis):
        encoder = CharCnnRnn(config.variant, config.channels, config.embedding_size)
        initialise(encoder)
        return {"encoder": encoder}

    def __init__(self, config, index, fabric, networks, basis):
        super().__init__(config, index, fabric, networks, basis)
        self.data = ImageTextDataset.from_config(config, index)
        features = view_features(self.data, config.image_features, fabric.device, config.views)
        image = nn.Identity()
        if features.shape[-1] != config.embedding_size:
            image = projection(config.image_features, features.shape[-1], config.embedding_size)
            image.fit(features.flatten(0, 1), torch.from_numpy(self.data.labels).repeat_interleave(config.views))
        self.features = image(features)  # (N, views, D)
        say_what_is_lost(captions_of(self.data.examples), words=False)
        self.symbols = [characters(example.captions, LENGTH).to(torch.uint8) for example in self.data.examples]
        optimizer = torch.optim.RMSprop(networks["encoder"].parameters(), config.learning_rate)
        self.encoder = self.add("encoder", optimizer)
        self.networks["image"] = image

    @property
    def steps_per_epoch(self) -> int:
        """Reed's epoch is one iteration per class; where every image is a class of its own, as many as there are
        batches."""
        classes = int(self.data.labels.max()) + 1
        return classes if classes < len(self.data) else max(1, len(self.data) // self.config.batch_size)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """One caption (B, 201) and the image vectors (B, D) of each drawn class."""
        indices = distinct_class_indices(self.data.labels, self.config.batch_size, self.config.seed, step)
        rng = rng_for(self.config.seed, step, "captions")
        symbols = torch.stack([self.symbols[i][rng.integers(len(self.symbols[i]))] for i in indices])
        views = rng_for(self.config.seed, step, "views").integers(self.config.views, size=len(indices))
        return symbols.long(), self.features[indices, views]

    def extras(self) -> dict:
        return {"image_features": self.config.image_features}

    def train_step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        self.set_learning_rate(self.config.learning_rate * self.config.decay_per_epoch ** self.epoch(step))
        symbols, images = (part.to(self.fabric.device) for part in batch)
        texts = self.encoder(symbols)
        loss = losses.joint_embedding(images, texts)
        self.update("encoder", loss)
        right = (images @ texts.float().T).argmax(dim=1) == torch.arange(len(texts), device=texts.device)
        return {"loss": loss, "batch_accuracy": right.float().mean()}
