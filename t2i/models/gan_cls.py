"""GAN-CLS and GAN-CLS-INT (Reed et al.: Generative Adversarial Text to Image Synthesis, ICML 2016).

The networks are those of the authors' own scripts, which add residual blocks to the paper's figure. Every convolution
there has a bias that each optimiser step sets back to zero; here it is a zero that is never trained, so that parameter
counts agree.
"""

import torch
from torch import Tensor, nn

from t2i.models.blocks import Residual, at_every_pixel, doublings
from t2i.models.generator import Generated
from t2i.text import TextFeatures


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _bottleneck(channels: int, inner: int, activation) -> Residual:
    """1×1, 3×3 and 3×3 convolutions through ``inner`` channels, added to the input."""
    body = nn.Sequential(
        nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), activation(),
        nn.Conv2d(inner, inner, 3, padding=1), nn.BatchNorm2d(inner), activation(),
        nn.Conv2d(inner, channels, 3, padding=1), nn.BatchNorm2d(channels),
    )  # fmt: skip
    return Residual(body, activation())


class Generator(nn.Module):
    """Noise and sentence to one image: 4×4, then doubled up to ``image_size``.

    ``width`` is the number of channels before the last layer at 64 px; smaller images leave out the last doublings.
    """

    def __init__(self, sentence_size: int, text_size: int, image_size: int, noise_size: int, width: int):
        super().__init__()
        self.noise_size, self.condition_size = noise_size, 0
        steps = doublings(image_size)
        widths = [width * max(1, 8 >> i) for i in range(steps)]
        self.text = nn.Sequential(nn.Linear(sentence_size, text_size), _leaky())
        layers = [nn.ConvTranspose2d(noise_size + text_size, widths[0], 4), nn.BatchNorm2d(widths[0])]
        layers += [_bottleneck(widths[0], widths[0] // 4, nn.ReLU)]
        for i in range(1, steps):
            layers += [nn.ConvTranspose2d(widths[i - 1], widths[i], 4, 2, 1), nn.BatchNorm2d(widths[i])]
            layers += [_bottleneck(widths[i], widths[i] // 4, nn.ReLU) if i == 1 else nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
        self.image = nn.Sequential(*layers)

    def forward(self, noise: Tensor, text: TextFeatures, eps: Tensor | None = None) -> Generated:
        """noise (B, noise_size) and a sentence -> one image; there is no augmentation, so ``eps`` is unused."""
        code = torch.cat([noise, self.text(text.sentence)], dim=1)[:, :, None, None]
        return Generated([self.image(code)], attention=[], mean=None, log_variance=None, penalty=0.0)


class Discriminator(nn.Module):
    """Scores a pair of image and sentence: is the picture real, and does the sentence describe it?

    ``interpolating`` builds the network of Reed's GAN-CLS-INT script, which differs in two places from that of GAN-CLS.
    """

    unconditional = None  # every judgement of GAN-CLS is about a pair

    def __init__(self, sentence_size: int, text_size: int, image_size: int, width: int, interpolating: bool = False):
        super().__init__()
        steps = doublings(image_size)
        widths = [width * max(1, 8 >> i) for i in reversed(range(steps))]
        layers = [nn.Conv2d(3, widths[0], 4, 2, 1), _leaky()]
        for i in range(1, steps):
            layers += [nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1), nn.BatchNorm2d(widths[i])]
            missing = interpolating and i == steps - 2  # main_cls_int.lua has no LeakyReLU before the last reduction
            layers += [_leaky()] if i < steps - 1 and not missing else []
        last = widths[-1]
        self.image = nn.Sequential(*layers, _bottleneck(last, last // 4, _leaky))
        normalisation = [nn.BatchNorm1d(text_size)] if interpolating else []
        self.text = nn.Sequential(nn.Linear(sentence_size, text_size), *normalisation, _leaky())
        self.joint = nn.Sequential(
            nn.Conv2d(last + text_size, last, 1), nn.BatchNorm2d(last), _leaky(), nn.Conv2d(last, 1, 4)
        )

    def features(self, image: Tensor) -> Tensor:
        """Images (B, 3, s, s) in [-1, 1] -> (B, 8 * width, 4, 4)."""
        return self.image(image)

    def conditional(self, features: Tensor, sentence: Tensor) -> Tensor:
        """Logits (B,) for "real, and described by the sentence"."""
        text = at_every_pixel(self.text(sentence), features)
        return self.joint(torch.cat([features, text], dim=1)).flatten()

    def forward(self, image: Tensor, sentence: Tensor) -> Tensor:
        return self.conditional(self.features(image), sentence)


def initialise(module: nn.Module) -> None:
    """Reed's start: convolutions N(0, 0.02) without bias, batch-norm gains N(1, 0.02), linear layers as they come."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)
            layer.bias.requires_grad_(False)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)
