"""The trunk that a DAMSM run learns on, with its ImageNet weights where they are to be had."""

import torch
from torch import nn

from t2i.config import DamsmConfig
from t2i.errors import UserError
from t2i.progress import tqdm
from t2i.text import trunks
from t2i.weights import legacy_weights


def backbone(config: DamsmConfig) -> dict:
    """The small trunk in the place of Inception where its weights are not to be had, after a notice."""
    if config.trunk == "inception-v3":
        try:
            legacy_weights()
        except UserError as missing:
            tqdm.write(f"{missing} Until then, DAMSM learns with the small trunk.")
            return {"trunk": "small"}
    return {}


def trunk(config: DamsmConfig) -> nn.Module:
    """The trunk that ``config`` names, Inception with its ImageNet weights."""
    network = trunks.build(config.trunk, config.trunk_width, config.trunk_size)
    if config.trunk == "inception-v3":
        trunks.load_imagenet(network, torch.load(legacy_weights(), map_location="cpu", weights_only=True))
    return network
