"""A finished (or stopped) run: its folder, its state, and what can be done with it."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2i import checkpoint, device, models
from t2i import config as configs
from t2i.config import Config
from t2i.data.captions import Vocabulary
from t2i.data.dataset import rng_for
from t2i.data.images import to_uint8
from t2i.errors import UserError
from t2i.text import TextFeatures, trunks
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.damsm import ImageEncoder, TextEncoder


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
            values = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is not JSON ({error})", "Start the run again with --no-resume.") from error
        return cls(configs.from_dict(values), checkpoint.read(directory / "checkpoint.pt"), directory)

    @property
    def is_encoder(self) -> bool:
        return self.config.model not in models.NAMES

    @cached_property
    def encoder(self) -> nn.Module:
        """The text encoder that this run trained, or that its generator was trained with; in eval mode, frozen."""
        kept = self.as_text_encoder() if self.is_encoder else self.state["extras"]["text_encoder"]
        return text_encoder(configs.from_dict(kept["config"]), kept["weights"], kept["extras"], self._file)

    @cached_property
    def image_encoder(self) -> nn.Module:
        """DAMSM's image encoder, in eval mode and frozen; :class:`UserError` where the run has none."""
        weights = self.state["networks"].get("image")
        if self.config.model != "damsm" or not weights:
            raise UserError(f"{self.directory} holds no image encoder", "Name the folder of a damsm run.")
        trunk = trunks.build(self.config.trunk, self.config.trunk_width, self.config.trunk_size)
        return _ready(ImageEncoder(trunk), weights, self._file, "the image encoder")

    def as_text_encoder(self) -> dict:
        """What the checkpoint of a GAN keeps of its text encoder, so that its folder can be used alone."""
        weights = self.state["networks"]["encoder"]
        return {"config": self.state["config"], "weights": weights, "extras": self.state["extras"]}

    @property
    def _file(self) -> Path:
        return self.directory / "checkpoint.pt"

    @cached_property
    def generator(self) -> nn.Module:
        """The generator with its averaged weights, in eval mode."""
        generator = models.from_config(self.config).generator
        averaged = self.state["ema"].items()
        weights = {key.removeprefix("module."): value for key, value in averaged if key != "n_averaged"}
        return _ready(generator, weights, self._file, "the generator")

    @cached_property
    def discriminators(self) -> nn.ModuleList:
        """The discriminators, one per image size, in eval mode."""
        discriminators = models.from_config(self.config).discriminators
        return _ready(discriminators, self.state["networks"]["discriminators"], self._file, "the discriminators")

    def sample(self, captions: list[str], count: int = 1, seed: int = 0) -> Tensor:
        """``count`` pictures for each caption, in the captions' order: (len(captions) * count, 3, s, s) uint8.

        Picture k of every caption is made from the same noise, so that the captions can be compared column by column.
        Raises :class:`UserError` for a caption that the text encoder cannot read.
        """
        noise = self._noise(count, seed).repeat(len(captions), 1)
        return self._draw([caption for caption in captions for _ in range(count)], noise)

    def generate(self, captions: list[str], seed: int = 0) -> Tensor:
        """One picture for each caption, each from noise of its own: (len(captions), 3, s, s) uint8."""
        return self._draw(captions, self._noise(len(captions), seed))

    @torch.inference_mode()
    def encode(self, captions: list[str], batch_size: int = 512) -> Tensor:
        """The sentence vectors of any number of captions: (N, N_s), on the CPU."""
        parts = [captions[i : i + batch_size] for i in range(0, len(captions), batch_size)]
        with device.visiting(self.encoder, self.config.device) as encoder:
            return torch.cat([encoder.encode(part).cpu() for part in parts])

    def _noise(self, count: int, seed: int) -> Tensor:
        if self.is_encoder:
            problem = f"{self.directory} holds a text encoder, which draws nothing"
            raise UserError(problem, "Name the folder of a GAN with --run.")
        shape = (count, self.generator.noise_size)
        return torch.from_numpy(rng_for(seed, 0, "sample").standard_normal(shape, dtype=np.float32))

    @torch.inference_mode()
    def _draw(self, captions: list[str], noise: Tensor, batch_size: int = 100) -> Tensor:
        distinct = list(dict.fromkeys(captions))
        place = {caption: number for number, caption in enumerate(distinct)}
        text = TextFeatures(None, self.encode(distinct)[[place[caption] for caption in captions]], None)
        with device.visiting(self.generator, self.config.device) as generator:
            place, drawn = next(generator.parameters()).device, []
            for part in torch.arange(len(captions)).split(batch_size):
                made = generator(noise[part].to(place), text.select(part).to(place))
                drawn.append(to_uint8(made.images[-1]).cpu())
        return torch.cat(drawn)


def text_encoder(config: Config, weights: dict, extras: dict, file: Path) -> nn.Module:
    """The text encoder that ``config`` describes, its ``weights`` and ``extras`` being those of ``file``."""
    if not weights:
        raise UserError(f"{file} holds no text encoder", "Import a released one as well: python -m t2i import --help")
    if config.model == "char-cnn-rnn":
        encoder = CharCnnRnn(config.variant, config.channels, config.embedding_size)
    else:
        encoder = TextEncoder(len(weights["embedding.weight"]), config.rnn)
        encoder.vocabulary = None if extras["vocabulary"] is None else Vocabulary(extras["vocabulary"])
    return _ready(encoder, weights, file, "the text encoder")


def _ready(module: nn.Module, weights: dict, file: Path, what: str) -> nn.Module:
    checkpoint.load_weights(module, weights, file, what)
    return module.eval().requires_grad_(False)
