"""The encoders that a run trained, or that a GAN reads and is judged with, as its checkpoint keeps them."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from t2i import checkpoint
from t2i import config as configs
from t2i.config import PUBLISHED_EMBEDDINGS, Config
from t2i.data.captions import Vocabulary
from t2i.data.index import Index
from t2i.errors import UserError
from t2i.text import trunks
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.damsm import ImageEncoder, TextEncoder
from t2i.training import published


@dataclass
class Encoders:
    """A text encoder and, with DAMSM, its image encoder.

    ``config`` is the setting they were trained with, ``text_weights`` and ``image_weights`` their state dicts (empty
    where a release came without), ``extras`` what they also need (a vocabulary), ``file`` the checkpoint that errors
    name, ``data`` the digest of what they learned from, where that is known.
    """

    config: Config
    text_weights: dict
    image_weights: dict
    extras: dict = field(default_factory=dict)
    file: Path = Path("checkpoint.pt")
    data: str = ""

    @classmethod
    def from_kept(cls, kept: dict, file: Path) -> "Encoders":
        """What :meth:`kept` gave."""
        config, weights = configs.from_dict(kept["config"]), (kept["weights"], kept["image"])
        return cls(config, *weights, kept["extras"], file, kept.get("data", ""))

    def kept(self) -> dict:
        """The encoders as the checkpoint of a GAN keeps them, so that its folder can be used alone."""
        config = self.config.to_dict()
        weights = {"weights": self.text_weights, "image": self.image_weights}
        return {"config": config, **weights, "extras": self.extras, "data": self.data}

    @cached_property
    def digest(self) -> str:
        """Eight hex digits over all weights and the vocabulary: two judges with the same digest judge alike."""
        found = hashlib.sha256(repr(self.extras.get("vocabulary")).encode())
        for weights in (self.text_weights, self.image_weights):
            for name in sorted(weights):
                found.update(name.encode() + weights[name].detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:8]

    @property
    def reads_words(self) -> bool:
        """Whether they are DAMSM's."""
        return self.config.kind == "damsm"

    @property
    def sees_images(self) -> bool:
        """Whether DAMSM's image encoder is among them; a released text encoder may come without."""
        return self.reads_words and bool(self.image_weights)

    @cached_property
    def text(self) -> nn.Module:
        """The text encoder in eval mode, frozen; :class:`UserError` where there is none."""
        if not self.text_weights:
            problem = f"{self.file} holds no text encoder"
            raise UserError(problem, "Import a released one as well: python -m t2i import --help")
        with torch.device("meta"):
            if self.reads_words:
                encoder = TextEncoder(len(self.text_weights["embedding.weight"]), self.config.rnn)
            else:
                encoder = CharCnnRnn(self.config.variant, self.config.channels, self.config.embedding_size)
        if words := self.extras.get("vocabulary"):
            encoder.vocabulary = Vocabulary(words)
        return checkpoint.fill(encoder, self.text_weights, self.file, "the text encoder").requires_grad_(False)

    @cached_property
    def image(self) -> nn.Module:
        """DAMSM's image encoder in eval mode, frozen; :class:`UserError` where there is none."""
        if not self.sees_images:
            raise UserError(f"{self.file.parent} holds no image encoder", "Name the folder of a damsm run.")
        with torch.device("meta"):
            encoder = ImageEncoder(trunks.build(self.config.trunk, self.config.trunk_width, self.config.trunk_size))
        return checkpoint.fill(encoder, self.image_weights, self.file, "the image encoder").requires_grad_(False)


class PublishedEncoders(Encoders):
    """The published embeddings of StackGAN's birds in the place of an encoder; a checkpoint keeps their name alone, not
    480 MB of vectors."""

    def __init__(self, index: Index):
        self.text = published.PublishedEmbeddings(index).eval()

    reads_words = sees_images = False
    digest = ""

    def kept(self) -> dict:
        return {"config": {"model": PUBLISHED_EMBEDDINGS}}
