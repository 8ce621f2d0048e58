"""Char-CNN-RNN: characters to one sentence vector (Reed, Akata, Lee, Schiele: Learning Deep Representations of
Fine-Grained Visual Descriptions, CVPR 2016).

Three temporal convolutions over one-hot characters, a recurrent layer over what is left of the time axis, the mean of
its states, and a linear map into the space of the image features. Three variants were published: ``cvpr``,
``icml-gru`` (the birds and COCO of GAN-CLS) and ``icml-rnn`` (its flowers).
"""

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i.config.settings import Variant
from t2i.text.characters import ALPHABET, LENGTH, characters
from t2i.text.features import TextFeatures


class MeanRNN(nn.Module):
    """h₁ = relu(W x₁ + b), hₜ = relu(W xₜ + b + U hₜ₋₁ + c), and the mean of all states.

    The first step leaves out U and c altogether, as Reed's unrolled network does.
    """

    def __init__(self, size: int):
        super().__init__()
        self.i2h, self.h2h = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, steps: Tensor) -> Tensor:
        """(B, T, C) -> (B, C)."""
        inputs = self.i2h(steps)
        states = [inputs[:, 0].relu()]
        for t in range(1, steps.shape[1]):
            states.append((inputs[:, t] + self.h2h(states[-1])).relu())
        return torch.stack(states, dim=1).mean(dim=1)


class MeanGRU(nn.Module):
    """Reed's GRU: h₁ = tanh(W x₁ + b), then hₜ = z·h̃ + (1 − z)·hₜ₋₁ with h̃ = tanh(W xₜ + b + U(r·hₜ₋₁) + c), averaged.

    It is not ``torch.nn.GRU``: there z keeps the old state, here it lets the candidate in, and r acts before U.
    """

    def __init__(self, size: int):
        super().__init__()
        for name in ("i2h_update", "h2h_update", "i2h_reset", "h2h_reset", "i2h", "h2h"):
            self.add_module(name, nn.Linear(size, size))

    def forward(self, steps: Tensor) -> Tensor:
        """(B, T, C) -> (B, C). Every text is computed alone; a popular port mixes the texts of a batch here."""
        update, reset, inputs = self.i2h_update(steps), self.i2h_reset(steps), self.i2h(steps)
        states = [inputs[:, 0].tanh()]
        for t in range(1, steps.shape[1]):
            h = states[-1]
            z = torch.sigmoid(update[:, t] + self.h2h_update(h))
            r = torch.sigmoid(reset[:, t] + self.h2h_reset(h))
            candidate = torch.tanh(inputs[:, t] + self.h2h(r * h))
            states.append(z * candidate + (1 - z) * h)
        return torch.stack(states, dim=1).mean(dim=1)


class CharCnnRnn(nn.Module):
    """The hybrid encoder; ``channels`` are the widths of the three convolutions, the last one the recurrent width.

    With ``variant`` ``cvpr`` or ``icml-rnn`` the time axis shrinks 201 → 66 → 21 → 8: the third pooling has stride 2,
    without which only 6 steps would be left. ``icml-gru`` has no third pooling and 18 steps.
    """

    def __init__(self, variant: str = "cvpr", channels: tuple[int, ...] = (384, 512, 256), embedding_size: int = 1024):
        super().__init__()
        if variant not in get_args(Variant):
            raise ValueError(f"variant {variant!r} is none of {get_args(Variant)}")
        first, second, third = channels
        self.variant = variant
        self.conv1 = nn.Conv1d(len(ALPHABET), first, 4)
        self.conv2 = nn.Conv1d(first, second, 4)
        self.conv3 = nn.Conv1d(second, third, 4)
        self.rnn = MeanGRU(third) if variant == "icml-gru" else MeanRNN(third)
        self.emb_proj = nn.Linear(third, embedding_size)

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbol numbers (B, 201), 0 where there is none -> sentence vectors (B, embedding_size)."""
        one_hot = F.one_hot(symbols, len(ALPHABET) + 1)[:, :, 1:].transpose(1, 2).to(self.conv1.weight.dtype)
        with torch.autocast(one_hot.device.type, enabled=False):  # text encoders stay in float32
            x = _pool(_rectify(self.conv1(one_hot)), stride=3)  # (B, 384, 66)
            x = _pool(_rectify(self.conv2(x)), stride=3)  # (B, 512, 21)
            x = _rectify(self.conv3(x))  # (B, 256, 18)
            if self.variant != "icml-gru":
                x = _pool(x, stride=2)  # (B, 256, 8)
            return self.emb_proj(self.rnn(x.transpose(1, 2)))

    def encode(self, texts: list[str]) -> Tensor:
        """Captions as written -> (B, embedding_size); what lies beyond 201 characters is not read."""
        return self(characters(texts, LENGTH).to(self.conv1.weight.device))

    def features(self, texts: list[str]) -> TextFeatures:
        """:meth:`encode` in the form that generators take."""
        return TextFeatures(words=None, sentence=self.encode(texts), mask=None)


def _rectify(x: Tensor) -> Tensor:
    return F.threshold(x, 1e-6, 0.0)  # Torch7's Threshold: not quite a ReLU


def _pool(x: Tensor, stride: int) -> Tensor:
    return F.max_pool1d(x, kernel_size=3, stride=stride)


def initialise(encoder: CharCnnRnn) -> None:
    """Every parameter uniform in ±0.08, as in Reed's training script.

    A narrower encoder than Reed's gets a wider interval, so that its sums start with the same variance.
    """
    bound = 0.08 * _widening(encoder)
    for parameter in encoder.parameters():
        nn.init.uniform_(parameter, -bound, bound)


def initialise_convolutions(encoder: CharCnnRnn) -> None:
    """Convolutions from N(0, 0.02²) without bias, as in icml2016's script for COCO, and wider where they are narrower;
    everything else as torch makes it."""
    for convolution in (encoder.conv1, encoder.conv2, encoder.conv3):
        nn.init.normal_(convolution.weight, std=0.02 * _widening(encoder))
        nn.init.zeros_(convolution.bias)


def _widening(encoder: CharCnnRnn) -> float:
    return (384 / encoder.conv1.out_channels) ** 0.5
