"""The kinds of released checkpoints: what each is a part of, how our module is built, and what its keys are called."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from t2i import config as configs
from t2i import models, official_names
from t2i.config import Config
from t2i.text import trunks
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.damsm import ImageEncoder, TextEncoder

CHARACTERS = "char_cnn_rnn_birds_icml"  # made the embeddings that StackGAN's birds were trained with
IMAGE_ENCODER = "attngan_CNN_ENCODER"


@dataclass(frozen=True)
class Kind:
    """One layout of released checkpoints.

    ``build`` takes the kind of ``mask`` and the number of ``words``, of which most need neither. ``settings`` are the
    fields of our config that tell this release from others; ``renamed`` maps the beginnings of the file's keys to ours,
    the first that fits being taken. Of a generator, ``beside`` has the kinds of its discriminators by the names of
    their files, and ``encoder`` is the kind of its text encoder, None where that was not released.
    """

    model: str
    dataset: str
    part: Literal["text encoder", "image encoder", "generator", "discriminator"]
    build: Callable[..., nn.Module]
    settings: dict = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    encoder: str | None = None

    @property
    def reads_words(self) -> bool:
        """Whether its embedding has a row per word of a vocabulary."""
        return self.part == "text encoder" and self.model == "damsm"

    def key(self, official: str) -> str:
        """Our name of the file's key ``official``."""
        return _renamed(official, self.renamed.items())

    def official(self, key: str) -> str:
        """The inverse of :meth:`key`."""
        return _renamed(key, ((ours, theirs) for theirs, ours in self.renamed.items()))


def _renamed(key: str, beginnings) -> str:
    for before, after in beginnings:
        if key.startswith(before):
            return after + key.removeprefix(before)
    return key


def _char_cnn_rnn(model: str, dataset: str) -> Kind:
    config = configs.load(model, dataset)
    settings = {"variant": config.variant, "channels": config.channels}
    return Kind(model, dataset, "text encoder", lambda mask, words: CharCnnRnn(**settings), settings)


def _words(dataset: str, rnn: str) -> Kind:
    build = lambda mask, words: TextEncoder(words, rnn)  # noqa: E731
    return Kind("damsm", dataset, "text encoder", build, {"rnn": rnn}, {"encoder.": "embedding."})


def _regions() -> Kind:
    names = {"emb_features.": "to_regions.", "emb_cnn_code.": "to_code.", "": "trunk."}
    build = lambda mask, words: ImageEncoder(trunks.InceptionTrunk())  # noqa: E731
    return Kind("damsm", "cub", "image encoder", build, renamed=names)


def _network(config: Config, scale: int | None, renamed: dict[str, str], **more) -> Kind:
    """The generator of ``config``, or its discriminator for the picture number ``scale``."""

    def build(mask, words):
        networks = models.from_config(replace(config, mask=mask) if hasattr(config, "mask") else config)
        return networks.generator if scale is None else networks.discriminators[scale]

    part = "generator" if scale is None else "discriminator"
    return Kind(config.model, config.dataset, part, build, renamed=renamed, **more)


def _staged(name: str, model: str, dataset: str, encoder: str) -> dict[str, Kind]:
    """A generator of three stages and its discriminators: AttnGAN, DM-GAN, StackGAN++."""
    config = configs.load(model, dataset)
    names = official_names.generator(config.residual_blocks)
    if model == "stackgan2":
        towers = [official_names.tree_discriminator(scale) for scale in range(3)]
    else:
        towers = [official_names.discriminator(scale, config.norm) for scale in range(3)]
    discriminators = {f"{name}_D_NET{64 << k}": _network(config, k, tower) for k, tower in enumerate(towers)}
    beside = {f"netD{k}.pth": kind for k, kind in enumerate(discriminators)}
    return {f"{name}_G_NET": _network(config, None, names, beside=beside, encoder=encoder)} | discriminators


def _stackgan(name: str, dataset: str, encoder: str | None) -> dict[str, Kind]:
    """StackGAN's two stages; the released networks have plain blocks."""
    plain = {"stage1": "stackgan-cnn"}
    one, two = configs.load("stackgan-cnn", dataset), configs.load("stackgan-stage2", dataset, **plain)
    stages = {
        f"{name}_STAGE1": (one, {}, official_names.stage_one_generator(), 4),
        f"{name}_STAGE2": (two, plain, official_names.stage_two_generator(two.residual_blocks), 8),
    }
    kinds = {}
    for stage, (config, settings, names, convolutions) in stages.items():
        beside = {"netD_epoch_last.pth": f"{stage}_D"}
        kinds[f"{stage}_G"] = _network(config, None, names, settings=settings, beside=beside, encoder=encoder)
        kinds[f"{stage}_D"] = _network(config, 0, official_names.stage_discriminator(convolutions))
    return kinds


def _project(name: str, model: str) -> dict[str, Kind]:
    """All that AttnGAN or DM-GAN released: encoders, and a generator with its discriminators for each data set."""
    return {
        f"{name}_cub_RNN_ENCODER": _words("cub", "LSTM"),
        f"{name}_coco_RNN_ENCODER": _words("coco", "LSTM"),
        f"{name}_RNN_ENCODER_gru": _words("cub", "GRU"),
        f"{name}_CNN_ENCODER": _regions(),
        **_staged(f"{name}_cub", model, "cub", f"{name}_cub_RNN_ENCODER"),
        **_staged(f"{name}_coco", model, "coco", f"{name}_coco_RNN_ENCODER"),
    }


KINDS: dict[str, Kind] = {
    "char_cnn_rnn_birds_cvpr": _char_cnn_rnn("char-cnn-rnn", "cub"),
    CHARACTERS: _char_cnn_rnn("char-cnn-rnn-icml", "cub"),
    "char_cnn_rnn_flowers_icml": _char_cnn_rnn("char-cnn-rnn-icml", "flowers"),
    **_project("attngan", "attngan"),
    **_project("dmgan", "dm-gan"),
    **_stackgan("stackgan1_default", "cub", CHARACTERS),
    **_stackgan("stackgan1_coco", "coco", None),
    **_staged("stackgan2_birds3", "stackgan2", "cub", CHARACTERS),
}
