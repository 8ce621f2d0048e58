"""A finished (or stopped) run: its folder, its state, and what can be done with it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i import checkpoint, data, device, models
from t2i import config as configs
from t2i.config import Config
from t2i.data.captions import lost
from t2i.data.dataset import rng_for
from t2i.data.images import to_uint8
from t2i.errors import UserError, refused
from t2i.models.generator import Generated
from t2i.text.characters import LENGTH, listed, unread
from t2i.text.encode import encode
from t2i.training.encoders import Encoders, PublishedEncoders

_PIXELS = 100 * 64**2  # of a batch without gradients


class Drawn(NamedTuple):
    """What a run drew: ``images``, a list of uint8 (N, 3, s, s), small to large, and ``attention``, one (N, T, h, w)
    for each refinement, T being the longest caption's words; all on the CPU."""

    images: list[Tensor]
    attention: list[Tensor]


class Run:
    """One run folder. ``config`` is its settings, ``state`` its checkpoint without the optimisers, on the CPU,
    ``directory`` where it lies. What ``is_released`` came with the course, and nothing is written beside it."""

    is_released = False

    def __init__(self, config: Config, state: checkpoint.State, directory: Path | None = None):
        self.config, self.state = config, checkpoint.on_cpu(state)
        self.directory = directory or config.directory

    @classmethod
    def load(cls, directory: Path | str) -> "Run":
        """The run in ``directory``; :class:`UserError` where there is none or its files are damaged."""
        directory = Path(directory).expanduser().resolve()
        file = directory / "config.json"
        if not file.is_file():
            problem = f"{directory} is no run folder: it has no config.json"
            raise UserError(problem, "Train a model first: python -m t2i train --help")
        try:
            config = configs.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise refused(error) or error from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"{file} holds no settings of a run ({error})"
            raise UserError(problem, "Start the run again with --no-resume.") from error
        return cls(config, checkpoint.read(directory / "checkpoint.pt", optimizers=False), directory)

    def at(self, root: Path | None) -> "Run":
        """This run, with its data at ``root``; itself where that is None."""
        if root is None:
            return self
        place = str(Path(root).expanduser().resolve())
        moved = Run(replace(self.config, root=place), self.state, self.directory)
        moved.is_released = self.is_released
        return moved

    def check_finished(self) -> None:
        """:class:`UserError` where the training was stopped before its end."""
        if not self.state["finished"]:
            problem = f"{self.directory} stopped at step {self.state['step']:,}, before its end"
            raise UserError(problem, "Let it finish: the same train command goes on from there.")

    @property
    def device(self) -> str:
        """Where to draw and to measure: where the run was trained, or whatever this machine has."""
        return self.config.device if device.present().get(self.config.device) else "auto"

    @property
    def is_encoder(self) -> bool:
        return self.config.model not in models.NAMES

    @cached_property
    def encoders(self) -> Encoders:
        """The encoders that this run trained, or that its generator was trained with."""
        if not self.is_encoder:
            kept = self.state["extras"]["text_encoder"]
            if kept["config"]["model"] == configs.PUBLISHED_EMBEDDINGS:
                return PublishedEncoders(data.load(self.config))
            return Encoders.from_kept(kept, self._file)
        weights = (self.state["networks"][name] for name in ("encoder", "image"))
        return Encoders(self.config, *weights, self.state["extras"], self._file, self.state.get("data", ""))

    @property
    def encoder(self) -> nn.Module:
        """The text encoder, in eval mode, frozen."""
        return self.encoders.text

    @property
    def image_encoder(self) -> nn.Module:
        """DAMSM's image encoder, likewise; :class:`UserError` where the run has none."""
        return self.encoders.image

    @property
    def reads_words(self) -> bool:
        """Whether the run's encoders are DAMSM's."""
        return self.encoders.reads_words

    @property
    def sees_images(self) -> bool:
        """Whether DAMSM's image encoder is among the run's encoders."""
        return self.encoders.sees_images

    @property
    def _file(self) -> Path:
        return self.directory / "checkpoint.pt"

    @cached_property
    def generator(self) -> nn.Module:
        """The generator with its averaged weights, in eval mode."""
        return self._ready(self._networks.generator, self.state["average"], "the generator")

    @cached_property
    def discriminators(self) -> nn.ModuleList:
        """The discriminators, one per image size, in eval mode."""
        weights = self.state["networks"]["discriminators"]
        return self._ready(self._networks.discriminators, weights, "the discriminators")

    @property
    def _networks(self) -> models.Networks:
        with torch.device("meta"):
            return models.from_config(self.config)

    def _ready(self, module: nn.Module, weights: dict, what: str) -> nn.Module:
        return checkpoint.fill(module, weights, self._file, what).requires_grad_(False)

    def to(self, device: str) -> "Run":
        """This run with encoder and generator on ``device``, where they stay; otherwise each drawing takes them to
        :attr:`device` and back."""
        for module in (self.encoder, self.generator):
            module.to(device)
        return self

    def sample(self, captions: list[str], count: int = 1, seed: int = 0) -> Tensor:
        """``count`` pictures for each caption, in the captions' order: (len(captions) * count, 3, s, s) uint8.

        Picture k of every caption is made from the same noise, so that the captions can be compared column by column.
        Raises :class:`UserError` for a caption that the text encoder cannot read.
        """
        noise = [part.repeat(len(captions), 1) for part in self.noise(count, seed)]
        asked = [caption for caption in captions for _ in range(count)]
        return torch.cat(list(self._pictures(asked, *noise)))

    def generate(self, captions: list[str], seed: int = 0) -> Tensor:
        """One picture for each caption, each from noise of its own: (len(captions), 3, s, s) uint8."""
        return torch.cat(list(self.stream(captions, seed)))

    def stream(self, captions: list[str], seed: int = 0) -> Iterator[Tensor]:
        """The pictures of :meth:`generate` in batches, uint8 (B, 3, s, s), for whoever cannot hold all of them."""
        return self._pictures(captions, *self.noise(len(captions), seed))

    def _pictures(self, captions: list[str], noise: Tensor, eps: Tensor) -> Iterator[Tensor]:
        for made in self.batches(captions, noise, eps, self.batch_size):
            yield to_uint8(made.images[-1]).cpu()

    @property
    def batch_size(self) -> int:
        """How many pictures are drawn, or judged, at once without gradients: 100 up to 64 px, fewer of larger ones."""
        return max(1, min(100, _PIXELS // self.config.image_size**2))

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
        """A sentence for everything in the captions that is not read: words that the vocabulary lacks, what is too long
        for an encoder of characters, letters of other alphabets, emoji."""
        notes = []
        for caption in captions:
            if not self.reads_words and len(caption) > LENGTH:
                notes.append(f"of the {len(caption):,} characters of a caption, the first {LENGTH} are read")
            elif self.reads_words and (unknown := self.encoder.require_vocabulary().unknown(caption)):
                notes.append(f"not in the vocabulary, and passed over: {', '.join(unknown)}")
            if strange := lost(caption) if self.reads_words else unread(caption.lower()):
                notes.append(f"not in English letters, and not read as written: {listed(strange)}")
        return list(dict.fromkeys(notes))

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

    def draw(self, captions: list[str], noise: Tensor, eps: Tensor, batch_size: int = 100) -> Drawn:
        """Pictures at every size for captions from given noise, and where each refinement looked."""
        images, attention = [], []
        longest = 0
        for made in self.batches(captions, noise, eps, batch_size):
            images.append([to_uint8(size).cpu() for size in made.images])
            attention.append([stage.cpu() for stage in made.attention])
            longest = max([longest, *(stage.shape[1] for stage in made.attention)])
        padded = [[F.pad(stage, (0, 0, 0, 0, 0, longest - stage.shape[1])) for stage in each] for each in attention]
        return Drawn(*([torch.cat(parts) for parts in zip(*each, strict=True)] for each in (images, padded)))

    @torch.inference_mode()
    def batches(self, captions: list[str], noise: Tensor, eps: Tensor, batch_size: int = 100) -> Iterator[Generated]:
        """What the generator makes of captions, ``batch_size`` at a time, on its device; a caption is read once a
        batch, however often it is drawn."""
        with device.on_device(self.encoder, self.device) as encoder, device.on_device(self.generator, self.device) as g:
            place = next(g.parameters()).device
            for part in torch.arange(len(captions)).split(batch_size):
                distinct = list(dict.fromkeys(captions[i] for i in part))
                rows = torch.tensor([distinct.index(captions[i]) for i in part])
                text = encoder.features(distinct).select(rows.to(place))
                yield g(noise[part].to(place), text, eps[part].to(place))
