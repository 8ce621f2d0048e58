"""One training step of Char-CNN-RNN: captions are pulled towards the features of the images they describe."""

import torch
from torch import Tensor, nn

from t2i import losses
from t2i.data.dataset import ImageTextDataset, distinct_class_indices, rng_for
from t2i.text.char_cnn_rnn import CharCnnRnn, initialise
from t2i.text.characters import LENGTH, characters
from t2i.training.image_features import SIZES, extractor, image_features
from t2i.training.recipe import Recipe


class JointEmbedding(nn.Module):
    """The text encoder, and a linear map for image features of another width than the text's.

    With GoogLeNet's 1,024 features the map is the identity, as in the paper; the small extractor needs a learned one.
    """

    def __init__(self, encoder: CharCnnRnn, features: int, embedding_size: int):
        super().__init__()
        self.encoder = encoder
        self.image = nn.Identity() if features == embedding_size else nn.Linear(features, embedding_size, bias=False)

    def forward(self, symbols: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols (B, 201) and image features (B, F) -> texts (B, D) and images (B, D)."""
        return self.encoder(symbols), self.image(features)


class CharCnnRnnRecipe(Recipe):
    """RMSProp on the joint embedding of one image and one caption from each of up to 40 classes.

    The loss compares every caption with every image of the batch, so each process of a data-parallel run computes the
    whole batch; the batches are small and the result is that of one process.
    """

    def __init__(self, config, index, fabric):
        super().__init__(config, index, fabric)
        size = (config.image_size,)
        self.data = ImageTextDataset(index, "train", size, config.crop, config.resize, config.images_per_class)
        self.extractor, embed = extractor(config.image_features)
        self.features = image_features(self.data, embed, fabric.device)
        self.symbols = [characters(example.captions, LENGTH).to(torch.uint8) for example in self.data.examples]
        encoder = CharCnnRnn(config.variant, config.channels, config.embedding_size)
        initialise(encoder)
        pair = JointEmbedding(encoder, SIZES[self.extractor], config.embedding_size)
        optimizer = torch.optim.RMSprop(pair.parameters(), config.learning_rate)
        self.pair = self.add("pair", pair, optimizer)
        self.networks = {"encoder": encoder, "image": pair.image}
        self.classes = int(self.data.labels.max()) + 1

    def total_steps(self) -> int:
        return self.config.steps or self.config.epochs * self.classes  # Reed's epoch: one iteration per class

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """One caption (B, 201) and the image features (B, F) of each drawn class."""
        indices = distinct_class_indices(self.data.labels, self.config.batch_size, self.config.seed, step)
        rng = rng_for(self.config.seed, step, "captions")
        symbols = torch.stack([self.symbols[i][rng.integers(len(self.symbols[i]))] for i in indices])
        return symbols.long(), self.features[indices]

    def extras(self) -> dict:
        return {"image_features": self.extractor}

    def train_step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        self.set_learning_rate(self.config.learning_rate * self.config.decay_per_epoch ** (step // self.classes))
        symbols, features = (part.to(self.fabric.device) for part in batch)
        texts, images = self.pair(symbols, features)
        loss = losses.joint_embedding(images, texts)
        (optimizer,) = self.optimizers.values()
        optimizer.zero_grad()
        self.fabric.backward(loss)
        optimizer.step()
        right = (images @ texts.T).argmax(dim=1) == torch.arange(len(texts), device=texts.device)
        return {"loss": loss, "batch_accuracy": right.float().mean()}
