"""A finished (or stopped) run: its folder, its state, and what can be done with it."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2i import checkpoint, data, device, models
from t2i import config as configs
from t2i.config import Config
from t2i.data.captions import Vocabulary
from t2i.data.dataset import rng_for
from t2i.data.images import to_uint8
from t2i.errors import UserError
from t2i.models.generator import Generated
from t2i.text import trunks
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.characters import LENGTH
from t2i.text.damsm import ImageEncoder, TextEncoder
from t2i.text.encode import encode
from t2i.training import published


class Run:
    """One run folder. ``config`` is its settings, ``state`` its checkpoint, ``directory`` where it lies."""

    def __init__(self, config: Config, state: dict, directory: Path | None = None):
        self.config, self.state = config, state
        self.directory = directory or config.directory

    @classmethod
    def load(cls, directory: Path) -> "Run":
        """The run in ``directory``; :class:`UserError` where there is none or its files are damaged."""
        directory = Path(directory).expanduser().resolve()
        file = directory / "config.json"
        if not file.is_file():
            problem = f"{directory} is no run folder: it has no config.json"
            raise UserError(problem, "Train a model first: python -m t2i train --help")
        try:
            config = configs.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"{file} holds no settings of a run ({error})"
            raise UserError(problem, "Start the run again with --no-resume.") from error
        return cls(config, checkpoint.read(directory / "checkpoint.pt"), directory)

    @property
    def device(self) -> str:
        """Where to draw and to measure: where the run was trained, or whatever this machine has."""
        return self.config.device if device.present().get(self.config.device) else "auto"

    @property
    def is_encoder(self) -> bool:
        return self.config.model not in models.NAMES

    @cached_property
    def encoder(self) -> nn.Module:
        """The text encoder that this run trained, or that its generator was trained with; in eval mode, frozen."""
        kept = self.as_encoder()
        if kept["config"]["model"] == published.NAME:
            return published.PublishedEmbeddings(data.read(self.config.dataset, self.config.root).checked()).eval()
        config, weights = configs.from_dict(kept["config"]), kept["weights"]
        if not weights:
            problem = f"{self._file} holds no text encoder"
            raise UserError(problem, "Import a released one as well: python -m t2i import --help")
        if config.model == "char-cnn-rnn":
            encoder = CharCnnRnn(config.variant, config.channels, config.embedding_size)
        else:
            encoder, words = TextEncoder(len(weights["embedding.weight"]), config.rnn), kept["extras"]["vocabulary"]
            encoder.vocabulary = None if words is None else Vocabulary(words)
        return _ready(encoder, weights, self._file, "the text encoder")

    @cached_property
    def image_encoder(self) -> nn.Module:
        """DAMSM's image encoder, likewise; :class:`UserError` where the run has none."""
        kept = self.as_encoder()
        config = configs.from_dict(kept["config"])
        if not self.sees_images:
            raise UserError(f"{self.directory} holds no image encoder", "Name the folder of a damsm run.")
        trunk = trunks.build(config.trunk, config.trunk_width, config.trunk_size)
        return _ready(ImageEncoder(trunk), kept["image"], self._file, "the image encoder")

    @property
    def reads_words(self) -> bool:
        """Whether the run's encoders are DAMSM's."""
        return self.as_encoder()["config"]["model"] == "damsm"

    @property
    def sees_images(self) -> bool:
        """Whether DAMSM's image encoder is among the run's encoders; a released text encoder may come without."""
        return self.reads_words and bool(self.as_encoder()["image"])

    def as_encoder(self) -> dict:
        """The run's encoders, as the checkpoint of a GAN keeps them so that its folder can be used alone."""
        if not self.is_encoder:
            return self.state["extras"]["text_encoder"]
        weights, image = (self.state["networks"][name] for name in ("encoder", "image"))
        return {"config": self.state["config"], "weights": weights, "image": image, "extras": self.state["extras"]}

    @property
    def _file(self) -> Path:
        return self.directory / "checkpoint.pt"

    @cached_property
    def generator(self) -> nn.Module:
        """The generator with its averaged weights, in eval mode."""
        averaged = self.state["ema"].items()
        weights = {key.removeprefix("module."): value for key, value in averaged if key != "n_averaged"}
        return _ready(self._networks.generator, weights, self._file, "the generator")

    @cached_property
    def discriminators(self) -> nn.ModuleList:
        """The discriminators, one per image size, in eval mode."""
        weights = self.state["networks"]["discriminators"]
        return _ready(self._networks.discriminators, weights, self._file, "the discriminators")

    @property
    def _networks(self) -> models.Networks:
        """On the meta device. (The encoders are not: what their start draws decides the weights that a GAN, which is
        built after them, begins with.)"""
        with torch.device("meta"):
            return models.from_config(self.config)

    def sample(self, captions: list[str], count: int = 1, seed: int = 0) -> Tensor:
        """``count`` pictures for each caption, in the captions' order: (len(captions) * count, 3, s, s) uint8.

        Picture k of every caption is made from the same noise, so that the captions can be compared column by column.
        Raises :class:`UserError` for a caption that the text encoder cannot read.
        """
        noise = [part.repeat(len(captions), 1) for part in self.noise(count, seed)]
        return self.draw([caption for caption in captions for _ in range(count)], *noise).images[-1]

    def generate(self, captions: list[str], seed: int = 0) -> Tensor:
        """One picture for each caption, each from noise of its own: (len(captions), 3, s, s) uint8."""
        return self.draw(captions, *self.noise(len(captions), seed)).images[-1]

    def encode(self, captions: list[str]) -> Tensor:
        """The sentence vectors of any number of captions: (N, N_s), on the CPU."""
        with device.on_device(self.encoder, self.device) as encoder:
            return encode(encoder, captions)

    def condition(self, captions: list[str]) -> Tensor:
        """What the discriminators read of captions: the sentence vectors or, with a generator that has a ``condition``,
        the means that its augmentation makes of them."""
        sentence = self.encoder.features(captions).sentence
        return self.generator.condition(sentence) if hasattr(self.generator, "condition") else sentence

    def unread(self, captions: list[str]) -> list[str]:
        """A sentence for each caption of which a part is not read: words that the vocabulary lacks, or what is too long
        for an encoder of characters."""
        notes = []
        for caption in captions:
            if not self.reads_words and len(caption) > LENGTH:
                notes.append(f"of the {len(caption):,} characters of a caption, the first {LENGTH} are read")
            elif self.reads_words and (lost := self.encoder.require_vocabulary().unknown(caption)):
                notes.append(f"not in the vocabulary, and passed over: {', '.join(lost)}")
        return notes

    def noise(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """What ``count`` pictures are drawn from: noise (count, Z), and the conditioning augmentation's (count, C)."""
        if self.is_encoder:
            problem = f"{self.directory} holds a text encoder, which draws nothing"
            raise UserError(problem, "Name the folder of a GAN with --run.")
        sizes = {"sample": self.generator.noise_size, "augmentation": self.generator.condition_size}
        return tuple(
            torch.from_numpy(rng_for(seed, 0, stream).standard_normal((count, size), dtype=np.float32))
            for stream, size in sizes.items()
        )

    @torch.inference_mode()
    def draw(self, captions: list[str], noise: Tensor, eps: Tensor, batch_size: int = 100) -> Generated:
        """Pictures for captions from given noise: images uint8, small to large, and every stage's attention over the
        words, padded to the longest caption of its batch; all on the CPU."""
        images, encoder, generator = [], self.encoder, self.generator
        with device.on_device(encoder, self.device), device.on_device(generator, self.device):
            place = next(generator.parameters()).device
            for part in torch.arange(len(captions)).split(batch_size):
                distinct = list(dict.fromkeys(captions[i] for i in part))
                rows = [distinct.index(captions[i]) for i in part]
                text = encoder.features(distinct).select(torch.tensor(rows))
                made = generator(noise[part].to(place), text, eps[part].to(place))
                images.append([to_uint8(size).cpu() for size in made.images])
        attention = [stage.cpu() for stage in made.attention] if len(images) == 1 else []
        return Generated([torch.cat(sizes) for sizes in zip(*images, strict=True)], attention, None, None, 0.0)


def _ready(module: nn.Module, weights: dict, file: Path, what: str) -> nn.Module:
    return checkpoint.fill(module, weights, file, what).requires_grad_(False)
