"""The trunk that a DAMSM run learns on, with its ImageNet weights where they are to be had."""

import torch
from torch import nn
from tqdm.auto import tqdm

from t2i.config import DamsmConfig
from t2i.errors import UserError
from t2i.metrics.extractors import legacy_weights
from t2i.text import trunks


def trunk(config: DamsmConfig) -> tuple[str, nn.Module]:
    """(name, network) of the trunk that ``config`` names; without Inception's weights the small one, with a notice."""
    if config.trunk == "inception-v3":
        try:
            weights = torch.load(legacy_weights(), map_location="cpu", weights_only=True)
        except UserError as missing:
            tqdm.write(f"{missing} Until then, DAMSM learns with the small trunk.")
        else:
            network = trunks.InceptionTrunk()
            trunks.load_imagenet(network, weights)
            return config.trunk, network
    return "small", trunks.build("small", config.trunk_width, config.trunk_size)
