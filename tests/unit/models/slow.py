"""What the networks are made of, transcribed pixel by pixel and word by word, and how a network is held against it."""

import torch
from torch import nn

from t2i.text import TextFeatures


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def conv3(x, weight, bias=None):
    """A 3×3 convolution with padding 1, pixel by pixel."""
    _, _, height, width = x.shape
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    pixels = [
        (padded[:, None, :, i : i + 3, j : j + 3] * weight).sum(dim=(2, 3, 4))
        for i in range(height)
        for j in range(width)
    ]
    found = torch.stack(pixels, dim=2).unflatten(2, (height, width))
    return found if bias is None else found + bias[:, None, None]


def norm(x, layer):
    """Batch norm: over batch and pixels while training, by the running statistics otherwise."""
    over = [d for d in range(x.ndim) if d != 1]
    mean, var = layer.running_mean, layer.running_var
    if layer.training:
        mean, var = x.mean(over), x.var(over, unbiased=False)
    mean, var, gain, bias = (p.reshape(1, -1, *[1] * (x.ndim - 2)) for p in (mean, var, layer.weight, layer.bias))
    return (x - mean) / (var + 1e-5).sqrt() * gain + bias


def gate(x):
    half = x.shape[1] // 2
    return x[:, :half] * sigmoid(x[:, half:])


def residual(x, block):
    first, first_norm, _, second, last_norm = block.body
    return x + norm(conv3(gate(norm(conv3(x, first.weight), first_norm)), second.weight), last_norm)


def up(x, block):
    doubled = torch.stack([torch.stack([x, x], dim=4).flatten(3)] * 2, dim=3).flatten(2, 3)
    return gate(norm(conv3(doubled, block.conv.weight), block.norm))


def fuse(a, b, fusion):
    """MSMT-GAN's equations 17 and 18 for two pictures (C, h, w)."""
    weight, bias = fusion.gate.weight[0, :, 0, 0], fusion.gate.bias[0]
    pixels = []
    for one, other in zip(a.flatten(1).T, b.flatten(1).T, strict=True):
        share = sigmoid(weight @ torch.cat([one, other]) + bias)
        pixels.append(one * share + other * (1 - share))
    return torch.stack(pixels, dim=1).unflatten(1, a.shape[1:])


def read(pixel, keys, values, seen):
    """One pixel (C,) and the words that it may see, a list of each: what it reads, and its attention."""
    shares = torch.stack([pixel @ keys[t] if seen[t] else torch.tensor(-torch.inf).double() for t in range(len(keys))])
    shares = shares.exp() / shares.exp().sum()
    return sum(shares[t] * values[t] for t in range(len(keys))), shares


def lively(module: nn.Module) -> nn.Module:
    """In float64, with every number of it drawn anew, so that nothing is hidden behind a zero or a one."""
    torch.manual_seed(0)
    for value in module.double().state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 0.8) if value.ndim == 1 else value.normal_(0, 0.7)
    return module


def leaves(*shapes):
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]


def captions(words, lengths):
    """Words (B, D, T) as features of captions of these lengths; None: no mask, all words count."""
    mask = None if lengths is None else torch.arange(words.shape[2]) >= torch.tensor(lengths)[:, None]
    return TextFeatures(words, words.mean(dim=2), mask)


def assert_same_gradients(found, wanted, inputs):
    slopes = [torch.randn_like(part) for part in found]
    gradients = [torch.autograd.grad(out, inputs, slopes, retain_graph=True) for out in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)
    assert all(gradient.any() for gradient in gradients[0])
