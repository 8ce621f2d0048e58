"""StackGAN (Zhang et al., ICCV 2017): Stage-I draws a small picture, Stage-II corrects it and makes it four times as
large.

The plain networks are those of the authors' PyTorch code. A later project report (Rentoula, Alexandropoulos, 2024)
compares them with residual and squeeze-and-excitation blocks; ``BLOCKS`` says how it is read here. The discriminators
judge a picture together with the mean μ of the conditioning augmentation, not with the caption's whole sentence vector.
"""

import torch
from torch import Tensor, nn

from t2i.models.blocks import Residual, UpConv2d, at_every_pixel, doublings, image_head
from t2i.models.discriminator import Discriminator
from t2i.models.generator import Generated
from t2i.models.initial import ConditioningAugmentation
from t2i.text import TextFeatures

REDUCTION = 16  # of squeeze and excitation, as in its paper


class RectifiedAugmentation(ConditioningAugmentation):
    """StackGAN's own conditioning augmentation: a rectifier where its successors have a gate, so that neither μ nor
    log σ² is ever negative."""

    def __init__(self, sentence_size: int, condition_size: int):
        super().__init__(sentence_size, condition_size)
        self.fc, self.gate = nn.Linear(sentence_size, 2 * condition_size), nn.ReLU()


class Excitation(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018): each channel is scaled by a number in (0, 1) that a small network
    reads from the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(4, channels // REDUCTION)  # narrow networks keep a few numbers to speak with
        self.scale = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x.mean(dim=(2, 3)))[:, :, None, None]


def residual(channels: int, activation: nn.Module, excitation: bool = False) -> Residual:
    """Two 3×3 convolutions added to their input, and an activation after the sum, as in StackGAN's code."""
    body = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), activation,
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        *([Excitation(channels)] if excitation else []),
    )  # fmt: skip
    return Residual(body, activation)


# What follows each doubling of Stage-I's generator and each halving of its discriminator. The report says both that
# layers "were replaced" and that blocks "were added" to the plain network; with the latter the three networks differ in
# one thing. The discriminator's blocks have its own activation, a leaky ReLU.
BLOCKS = {
    "plain": lambda channels, activation: [],
    "residual": lambda channels, activation: [residual(channels, activation)],
    "squeeze": lambda channels, activation: [residual(channels, activation, excitation=True)],
}


def _rectified(convolution: nn.Module) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def up_block(channels: int) -> nn.Sequential:
    """Doubling, and half of the channels: a 3×3 convolution, batch norm and ReLU; no gate yet, as later models have."""
    return nn.Sequential(*_rectified(UpConv2d(channels, channels // 2)))


class StageOneGenerator(nn.Module):
    """Noise and a draw of the conditioning augmentation to one small picture.

    There are 8 · ``width`` channels at 4×4 px, and each doubling halves them: 64 px take four doublings, smaller
    pictures fewer. ``block`` is a key of ``BLOCKS``.
    """

    def __init__(
        self, sentence_size: int, condition_size: int, noise_size: int, width: int, image_size: int, block: str
    ):
        super().__init__()
        self.noise_size, self.condition_size = noise_size, condition_size
        self.augmentation = RectifiedAugmentation(sentence_size, condition_size)
        channels = [8 * width >> k for k in range(doublings(image_size) + 1)]
        numbers = channels[0] * 16
        self.fc = nn.Sequential(
            nn.Linear(noise_size + condition_size, numbers, bias=False), nn.BatchNorm1d(numbers), nn.ReLU(inplace=True)
        )
        self.ups = nn.Sequential(
            *(nn.Sequential(*up_block(count), *BLOCKS[block](count // 2, nn.ReLU())) for count in channels[:-1])
        )
        self.head = image_head(channels[-1])

    def condition(self, sentence: Tensor) -> Tensor:
        """(B, N_s) -> μ (B, C), which the discriminators read."""
        return self.augmentation(sentence)[1]

    def forward(self, noise: Tensor, text: TextFeatures, eps: Tensor | None = None) -> Generated:
        """``noise`` (B, Z); ``eps`` (B, C) is the draw of the conditioning augmentation, made inside where None."""
        condition, mean, log_variance = self.augmentation(text.sentence, eps)
        features = self.fc(torch.cat([noise, condition], dim=1)).unflatten(1, (-1, 4, 4))
        return Generated([self.head(self.ups(features))], [], mean, log_variance, 0.0)


class StageTwoGenerator(nn.Module):
    """Stage-I's picture, halved twice, joined with a condition of its own, digested by residual blocks and doubled four
    times.

    ``stage1`` is frozen and passes no gradient on. Its batch norms follow the mode of the whole: while training they
    see the batch, as officially. ``images`` holds the picture that a discriminator judges, Stage-II's; the one it was
    made from is ``stage1``'s own output. The two stages augment the condition independently, so ``condition_size``
    counts both draws.
    """

    def __init__(self, stage1: StageOneGenerator, sentence_size: int, width: int, residual_blocks: int):
        super().__init__()
        own = stage1.condition_size
        self.noise_size, self.condition_size = stage1.noise_size, 2 * own
        self.stage1 = stage1.requires_grad_(False)
        self.augmentation = RectifiedAugmentation(sentence_size, own)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.ReLU(inplace=True),
            *_rectified(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)),
            *_rectified(nn.Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False)),
        )  # fmt: skip
        self.joint = nn.Sequential(*_rectified(nn.Conv2d(own + 4 * width, 4 * width, 3, padding=1, bias=False)))
        self.residual = nn.Sequential(*(residual(4 * width, nn.ReLU()) for _ in range(residual_blocks)))
        self.ups = nn.Sequential(*(up_block(4 * width >> k) for k in range(4)))
        self.head = image_head(width // 4)

    def condition(self, sentence: Tensor) -> Tensor:
        """(B, N_s) -> Stage-II's μ (B, C), which the discriminator reads."""
        return self.augmentation(sentence)[1]

    def forward(self, noise: Tensor, text: TextFeatures, eps: Tensor | None = None) -> Generated:
        """``eps`` (B, 2C) is a draw for each stage, Stage-I's first; (B, C) serves both, and None draws inside."""
        two = eps is not None and eps.shape[1] == self.condition_size
        first, own = eps.chunk(2, dim=1) if two else (eps, eps)
        with torch.no_grad():
            (small,) = self.stage1(noise, text, first).images
        condition, mean, log_variance = self.augmentation(text.sentence, own)
        seen = self.encoder(small)
        features = self.residual(self.joint(torch.cat([seen, at_every_pixel(condition, seen)], dim=1)))
        return Generated([self.head(self.ups(features))], [], mean, log_variance, 0.0)


class StageOneDiscriminator(Discriminator):
    """Halves a picture to 4×4 and judges it there together with μ; there is no judgement of the picture alone.

    What the shared interface calls a sentence in :meth:`conditional` is the mean of the conditioning augmentation, (B,
    C), here as in Stage-II, whose discriminator is the shared one with both heads.
    """

    unconditional = None

    def __init__(self, image_size: int, condition_size: int, width: int, block: str):
        super().__init__(image_size, condition_size, width, norm="batch")
        del self.unconditional_logit
        follow = BLOCKS[block]
        self.tower = nn.Sequential(
            *(part for halving in self.tower for part in (halving, *follow(halving.conv.out_channels, _leaky())))
        )


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def initialise(network: nn.Module) -> None:
    """Convolutions and linear maps N(0, 0.02), batch-norm gains N(1, 0.02), linear biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
