"""The table of models: a name, and how its networks are built from a config."""

from typing import NamedTuple

from torch import nn

from t2i import config as configs
from t2i.errors import UserError
from t2i.models import gan_cls


class Networks(NamedTuple):
    """A generator and its discriminators, one per image size, small to large."""

    generator: nn.Module
    discriminators: nn.ModuleList


def _gan_cls(config: configs.GanClsConfig) -> Networks:
    sizes = config.sentence_size, config.text_size, config.image_size
    generator = gan_cls.Generator(*sizes, config.noise_size, config.generator_width)
    judge = gan_cls.Discriminator(*sizes, config.discriminator_width, interpolating=config.interpolation_weight > 0)
    networks = Networks(generator, nn.ModuleList([judge]))
    for network in networks:
        gan_cls.initialise(network)
    return networks


BUILDERS = {"gan-cls": _gan_cls, "gan-cls-int": _gan_cls}
NAMES = tuple(BUILDERS)


def build(name: str, dataset: str = "cub", profile: str = "paper", vocabulary_size: int | None = None) -> Networks:
    """The networks of ``name`` at the size of ``profile``, freshly initialised (on the meta device: only shapes).

    ``vocabulary_size`` is for encoders that embed words; GAN-CLS reads characters and ignores it.
    Raises :class:`UserError` for a name that is not in ``NAMES``.
    """
    if name not in NAMES:
        raise UserError(f"There is no model called {name!r}", f"Choose one of: {', '.join(NAMES)}.")
    return from_config(configs.load(name, dataset, profile))


def from_config(config: configs.Config) -> Networks:
    """The networks that ``config`` describes."""
    return BUILDERS[config.model](config)
