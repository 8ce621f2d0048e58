"""The table of models: a name, and how its networks are built from a config."""

from typing import NamedTuple

from torch import nn

from t2i import config as configs
from t2i.errors import UserError, check_name
from t2i.models import gan_cls, stackgan, stackgan2
from t2i.models.discriminator import Discriminator
from t2i.models.generator import Generator
from t2i.models.initial import ConditioningAugmentation, MultiTailStage, SentenceStage
from t2i.models.refinement import AttentionRefinement, MemoryRefinement, Refinement
from t2i.models.spatial import SpatialRefinement
from t2i.text.damsm import WIDTH as TEXT_SIZE

# The stages that ``configs.COMPOSITIONS`` lists: a new one is a class and an entry here.
INITIAL = {"sentence": SentenceStage, "tails": MultiTailStage}
REFINEMENTS = {
    "attention": AttentionRefinement,
    "memory": MemoryRefinement,
    "spatial": SpatialRefinement,
}
TERMS = ("adversarial", "words", "sentence", "kl")  # what every generator of stages minimises, by name


class Networks(NamedTuple):
    """A generator and its discriminators, one per image size, small to large."""

    generator: nn.Module
    discriminators: nn.ModuleList


def _gan_cls(config: configs.GanClsConfig) -> Networks:
    sizes = config.sentence_size, config.text_size, config.image_size
    generator = gan_cls.Generator(*sizes, config.noise_size, config.generator_width)
    discriminator = gan_cls.Discriminator(
        *sizes, config.discriminator_width, interpolating=config.interpolation_weight > 0
    )
    networks = Networks(generator, nn.ModuleList([discriminator]))
    for network in networks:
        gan_cls.initialise(network)
    return networks


def _stages(config: configs.MultiStageConfig) -> Networks:
    """A generator made of the stages that ``configs.COMPOSITIONS`` lists, with a discriminator for each image size."""
    width, sizes = config.generator_width, config.sizes
    augmentation = ConditioningAugmentation(TEXT_SIZE, config.condition_size)
    initial = _stage("an initial stage", config.initial, INITIAL, config)
    refinements = [_stage("a refinement", name, REFINEMENTS, config) for name in config.refinements]
    discriminators = [Discriminator(size, TEXT_SIZE, config.discriminator_width, config.norm) for size in sizes]
    networks = Networks(
        Generator(augmentation, initial, refinements, width, config.noise_size), nn.ModuleList(discriminators)
    )
    for network in networks:
        initialise(network)
    return networks


def _stage(what: str, name: str, table: dict, config: configs.MultiStageConfig) -> nn.Module:
    if name not in table:
        problem = f"{config.model} asks for {what} called {name!r}, which there is not"
        raise UserError(problem, f"Choose among: {', '.join(table)}.")
    stage = table[name].from_config(config)
    if own := getattr(stage, "penalty_name", None):
        _check_penalty(own, name, config)
    return stage


def _check_penalty(own: str, stage: str, config: configs.MultiStageConfig) -> None:
    """A stage's loss has a name of its own, and where it is named also a weight: said now, not in the first step."""
    if own in TERMS:
        raise UserError(
            f"The stage {stage!r} calls its loss {own!r}, as the generator calls one of its own", "Rename it."
        )
    if own != Refinement.penalty_name:
        config.option(f"{own}_weight")


def _stackgan(config: configs.StackGanConfig) -> Networks:
    """Stage-I, with the block of ``config``."""
    discriminator = stackgan.StageOneDiscriminator(
        config.image_size, config.condition_size, config.discriminator_width, config.block
    )
    networks = Networks(_stage_one(config, config.image_size), nn.ModuleList([discriminator]))
    for network in networks:
        stackgan.initialise(network)
    return networks


def _stage_one(config: configs.StackGanConfig, image_size: int) -> stackgan.StageOneGenerator:
    inputs = config.sentence_size, config.condition_size, config.noise_size
    return stackgan.StageOneGenerator(*inputs, config.generator_width, image_size, config.block)


def _stackgan_stage2(config: configs.StackGanStage2Config) -> Networks:
    """Stage-II around a Stage-I of the same widths, which training replaces by a trained one."""
    stage1 = _stage_one(config, config.stage1_size)
    sizes = config.sentence_size, config.generator_width, config.residual_blocks
    discriminator = Discriminator(config.image_size, config.condition_size, config.discriminator_width, norm="batch")
    networks = Networks(stackgan.StageTwoGenerator(stage1, *sizes), nn.ModuleList([discriminator]))
    for network in networks:
        stackgan.initialise(network)
    return networks


def _stackgan2(config: configs.StackGanTreeConfig) -> Networks:
    inputs = config.sentence_size, config.condition_size, config.noise_size
    generator = stackgan2.TreeGenerator(*inputs, config.generator_width, config.sizes, config.residual_blocks)
    discriminators = [
        stackgan2.TreeDiscriminator(size, config.condition_size, config.discriminator_width) for size in config.sizes
    ]
    networks = Networks(generator, nn.ModuleList(discriminators))
    for network in networks:
        initialise(network)
    return networks


def initialise(network: nn.Module) -> None:
    """Orthogonal convolutions and linear maps, gains N(1, 0.02); biases zero where the official code sets them."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


BUILDERS = {
    configs.GanClsConfig: _gan_cls,
    configs.MultiStageConfig: _stages,
    configs.StackGanConfig: _stackgan,
    configs.StackGanStage2Config: _stackgan_stage2,
    configs.StackGanTreeConfig: _stackgan2,
}
NAMES = tuple(name for name in configs.MODELS if type(configs.PAPER[name, "cub"]) in BUILDERS)


def build(name: str, dataset: str = "cub", profile: str = "paper", vocabulary_size: int | None = None) -> Networks:
    """The networks of ``name`` at the size of ``profile``, freshly initialised (on the meta device: only shapes).

    No network holds a vocabulary, so ``vocabulary_size`` may be left out: captions are read by an encoder from outside.
    Raises :class:`UserError` for a name that is not in ``NAMES``.
    """
    check_name("model", name, NAMES)
    return from_config(configs.load(name, dataset, profile))


def from_config(config: configs.Config) -> Networks:
    """The networks that ``config`` describes."""
    return BUILDERS[type(config)](config)
