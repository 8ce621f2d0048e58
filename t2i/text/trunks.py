"""The networks under DAMSM's image encoder: each gives a 17 × 17 map of regions and one pooled vector."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import inception_v3

from t2i import lite0

GRID = 17  # regions along each side, in every trunk


class InceptionTrunk(nn.Module):
    """Inception v3 without its classifiers: ``Mixed_6e`` gives the regions, ``Mixed_7c`` the pooled vector.

    Frozen, as published. That holds for the weights: in train mode its batch norms use the statistics of the batch and
    move their running ones, so a released trunk is no longer ImageNet's. Freshly built, the weights are random.
    """

    size, channels = 299, (768, 2048)

    def __init__(self):
        super().__init__()
        whole = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        for name, child in whole.named_children():
            if name not in ("avgpool", "dropout", "fc"):
                self.add_module(name, child)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 299, 299) in [-1, 1] -> (B, 768, 17, 17) and (B, 2048)."""
        regions = None
        for name, child in self.named_children():
            x = child(x)
            if name == "Mixed_6e":
                regions = x
        return regions, x.mean(dim=(2, 3))


class SmallTrunk(nn.Module):
    """A plain convolutional network for small pictures, learned from nothing together with the rest of DAMSM.

    ``size`` (34, 68 or 136) is halved until 17 × 17 is left, ``width`` the channels of its first layer; every halving
    doubles them, up to four times ``width`` in the regions.
    """

    def __init__(self, width: int = 32, size: int = 34):
        super().__init__()
        if size not in (34, 68, 136):
            raise ValueError(f"size {size} is not 34, 68 or 136")
        self.size = size
        widths = [min(4, 2**k) * width for k in range((size // GRID).bit_length())]
        halvings = [_convolution(i, o, stride=2) for i, o in pairwise(widths)]
        deep = widths[-1]
        at_grid = [_convolution(deep, deep), _convolution(deep, deep)]
        self.to_regions = nn.Sequential(_convolution(3, width), *halvings, *at_grid)
        self.to_code = nn.Sequential(_convolution(deep, 2 * deep, stride=2), _convolution(2 * deep, 4 * deep, stride=2))
        self.channels = (deep, 4 * deep)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in [-1, 1] -> (B, C, 17, 17) and (B, 4C)."""
        regions = self.to_regions(x)
        return regions, self.to_code(regions).mean(dim=(2, 3))


class Lite0Trunk(nn.Module):
    """EfficientNet-Lite0 without its classifier, frozen: the widened map inside block 11, the last at 1/16 of the side,
    gives the regions. Freshly built, the weights are random."""

    size, channels = 272, (672, lite0.FEATURES)
    block = 11

    def __init__(self):
        super().__init__()
        self.network = lite0.Lite0()
        del self.network.classify
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 272, 272) in [-1, 1] -> (B, 672, 17, 17) and (B, 1280)."""
        pooled, regions = self.network.features(x, inside=self.block)
        return regions, pooled


def build(name: str, width: int = 32, size: int = 34) -> nn.Module:
    """The trunk called ``name``; ``width`` and ``size`` are the small one's."""
    if name == "small":
        return SmallTrunk(width, size)
    return {"inception-v3": InceptionTrunk, lite0.NAME: Lite0Trunk}[name]()


def resize(images: Tensor, size: int, align_corners: bool = True) -> Tensor:
    """Bilinear, to the side that a trunk takes.

    The official line left ``align_corners`` to its default, which changed from True to False with PyTorch 0.4; the
    released weights were made with True, and DM-GAN writes it out.
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=align_corners)


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(0.2, inplace=True)
    )


def load_imagenet(trunk: InceptionTrunk, weights: dict[str, Tensor]) -> None:
    """Fill the trunk from torchvision's ImageNet checkpoint, of which the classifiers are left out."""
    own = trunk.state_dict()
    trunk.load_state_dict({key: value for key, value in weights.items() if key in own})
