"""The trunk that a DAMSM run learns on, with its ImageNet weights where they are to be had."""

import torch
from torch import nn

from t2i import lite0
from t2i.config import DRAWN, DamsmConfig
from t2i.errors import UserError
from t2i.progress import tqdm
from t2i.text import trunks
from t2i.weights import legacy_weights


def backbone(config: DamsmConfig) -> dict:
    """Another trunk in the place of Inception where its weights are not to be had, after a notice: for drawn pictures
    the small one, for all others EfficientNet-Lite0."""
    if config.trunk == "inception-v3":
        try:
            legacy_weights()
        except UserError as missing:
            other = "small" if config.dataset in DRAWN else lite0.NAME
            tqdm.write(f"{missing} Until then, DAMSM learns with the {other} trunk.")
            return {"trunk": other}
    return {}


def trunk(config: DamsmConfig) -> nn.Module:
    """The trunk that ``config`` names, with its ImageNet weights where it has such."""
    network = trunks.build(config.trunk, config.trunk_width, config.trunk_size)
    if config.trunk == "inception-v3":
        trunks.load_imagenet(network, torch.load(legacy_weights(), map_location="cpu", weights_only=True))
    if config.trunk == lite0.NAME:
        network.network.load_state_dict(lite0.load().state_dict(), strict=False)  # all but the classifier
    return network
