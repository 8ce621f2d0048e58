"""AviaryNet: a small network that sees the attributes of drawn birds, and the offline stand-in for Inception.

It was trained once, by ``python -m t2i.aviarynet.train``, on birds of no species (every attribute uniform and
independent), so it favours no model and no split. Its weights are committed and pinned by hash: a number measured with
it on one machine can be compared with a number measured on another.
"""

import hashlib
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from t2i import paths
from t2i.data.aviary import VALUES
from t2i.errors import UserError

NAME = "aviarynet1"
FEATURES = 128
SIDE = 64
WEIGHTS = Path(__file__).with_name(f"{NAME}.safetensors")
SHA256 = "46e8550989d099f8172846f6d34f26946feaec7c9c28895bd5081098d3db885d"


class AviaryNet(nn.Module):
    """Five 3×3 convolutions, an average, and one linear head per attribute."""

    def __init__(self):
        super().__init__()
        widths, layers = (3, 32, 64, 96, 128), []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], FEATURES, 3, 1, 1, bias=False), nn.BatchNorm2d(FEATURES), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(values)) for name, values in VALUES.items()})

    def embed(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, 3, H, W) in [-1, 1], any size -> features (B, 128) and logits of every attribute."""
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        features = self.trunk(images).mean(dim=(2, 3))
        return features, {name: head(features) for name, head in self.heads.items()}

    forward = embed


@cache
def load(device: str = "cpu") -> AviaryNet:
    """The committed network, in eval mode and frozen; refuses weights whose hash is not the pinned one."""
    if not WEIGHTS.is_file():
        raise UserError(f"{WEIGHTS} is missing", paths.restore(WEIGHTS))
    if hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != SHA256:
        raise UserError(
            f"{WEIGHTS} is not the file that {NAME} names", "Restore it from git, or numbers cannot be compared."
        )
    with torch.device("meta"):  # nothing is drawn: whoever loads this moves no random generator
        network = AviaryNet()
    network.load_state_dict(load_file(WEIGHTS), assign=True)
    return network.eval().requires_grad_(False).to(device)


@torch.inference_mode()
def embed(images: Tensor, batch_size: int = 256) -> tuple[Tensor, dict[str, Tensor]]:
    """:meth:`AviaryNet.embed` of any number of images with the committed weights, in batches."""
    network = load(str(images.device))
    parts = [network.embed(part) for part in images.split(batch_size)]
    logits = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    return torch.cat([part[0] for part in parts]), logits
