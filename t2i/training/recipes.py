"""The table of recipes: what trains each kind of model."""

from t2i import config as configs
from t2i import device
from t2i.config import Config
from t2i.training.caption_pairs import CaptionPairs
from t2i.training.char_cnn_rnn import CharCnnRnnRecipe
from t2i.training.damsm import Damsm
from t2i.training.gan import Gan, GanCls
from t2i.training.objectives import Objective
from t2i.training.recipe import Basis, Recipe

RECIPES: dict[type[Config], type[Recipe]] = {
    configs.CharCnnRnnConfig: CharCnnRnnRecipe,
    configs.CaptionPairsConfig: CaptionPairs,
    configs.DamsmConfig: Damsm,
    configs.GanClsConfig: GanCls,
    configs.StackGanConfig: Gan,
    configs.StackGanStage2Config: Gan,
    configs.StackGanTreeConfig: Gan,
    configs.MultiStageConfig: Gan,
}


def prepare(config: Config, basis: Basis | None = None, objective: Objective | None = None) -> Recipe:
    """The recipe of ``config`` before its first step: its data are read, its networks are made from the seed and set up
    on their device, where they stay. ``basis`` is what it builds on, ``objective`` replaces the losses of a GAN. What a
    new run decides about ``config`` (:func:`t2i.training.obtain.begun`) is decided before."""
    model, basis = RECIPES[type(config)], basis or Basis()
    if config.compile:
        device.require_compiler(config.device)
    fabric = device.start(config.device, config.precision)
    index = model.read(config)
    device.seed_step(config.seed, -1)  # directly before the networks: nothing that came before decides their weights
    networks = model.build(config, index, basis)
    options = {"objective": objective} if objective else {}
    return model(config, index, fabric, networks, basis, **options)
