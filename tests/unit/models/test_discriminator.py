"""The discriminators layer by layer, at every size and with both norms; their counts are in ``test_stages``."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2i.models.blocks import SpectralConv2d, conv_with_vector
from t2i.models.discriminator import Discriminator

SENTENCE = 6
# Output channels of the tower in units of the width, and how often it halves.
TOWERS = {
    8: [8],
    16: [4, 8],
    32: [2, 4, 8],
    64: [1, 2, 4, 8],
    128: [1, 2, 4, 8, 16, 8],
    256: [1, 2, 4, 8, 16, 32, 16, 8],
}


def judge(size: int, norm: str, width: int = 2) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(size, SENTENCE, width, norm)


@pytest.mark.parametrize("norm", ["batch", "spectral"])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_shapes_at_every_size(size, norm):
    network, image, sentence = judge(size, norm), torch.rand(3, 3, size, size), torch.randn(3, SENTENCE)
    features = network.features(image)
    assert features.shape == (3, 16, 4, 4)
    assert network.conditional(features, sentence).shape == network.unconditional(features).shape == (3,)


@pytest.mark.parametrize("norm", ["batch", "spectral"])
@pytest.mark.parametrize("size", TOWERS)
def test_the_tower_grows_and_comes_back(size, norm):
    tower = judge(size, norm).tower
    assert [block.conv.out_channels for block in tower] == [2 * width for width in TOWERS[size]]
    halvings = [block.conv for block in tower if block.conv.stride == (2, 2)]
    assert 4 << len(halvings) == size and all(conv.kernel_size == (4, 4) for conv in halvings)
    rest = [block.conv for block in tower if block.conv.stride == (1, 1)]
    assert len(rest) == len(tower) - len(halvings) and all(conv.kernel_size == (3, 3) for conv in rest)


@pytest.mark.parametrize("size", TOWERS)
def test_batch_norm_everywhere_but_after_the_pixels_or_a_bias_in_its_place(size):
    batch, spectral = judge(size, "batch"), judge(size, "spectral")
    assert [hasattr(block, "norm") for block in batch.tower] == [k > 0 for k in range(len(batch.tower))]
    assert isinstance(batch.joint.norm, nn.BatchNorm2d)
    assert all(block.conv.bias is None for block in (*batch.tower, batch.joint))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in spectral.modules())
    for block in (*spectral.tower, spectral.joint):
        assert isinstance(block.conv, SpectralConv2d) and block.conv.bias is not None
    for network in (batch, spectral):
        for logit in (network.conditional_logit, network.unconditional_logit):
            assert type(logit) is nn.Conv2d and logit.weight.shape == (1, 16, 4, 4) and logit.bias.shape == (1,)


def test_the_heads_are_their_equations():
    network = judge(8, "batch").eval()
    features, sentence = torch.randn(2, 16, 4, 4), torch.randn(2, SENTENCE)
    logit = network.unconditional_logit
    found = torch.stack([(picture * logit.weight[0]).sum() + logit.bias[0] for picture in features])
    torch.testing.assert_close(network.unconditional(features), found)
    spread = torch.stack([torch.stack([torch.full((4, 4), number) for number in row.tolist()]) for row in sentence])
    joint = F.conv2d(torch.cat([features, spread], dim=1), network.joint.conv.weight, padding=1)
    joint = F.leaky_relu(joint / (1 + 1e-5) ** 0.5, 0.2)
    logit = network.conditional_logit
    found = torch.stack([(picture * logit.weight[0]).sum() + logit.bias[0] for picture in joint])
    torch.testing.assert_close(network.conditional(features, sentence), found)


@pytest.mark.parametrize("vector_first", [False, True])
@pytest.mark.parametrize("kind", [nn.Conv2d, SpectralConv2d])
def test_a_vector_beside_features_is_convolved_without_laying_it_out(kind, vector_first):
    """Value and every gradient, at a size with an inside, in float64."""
    torch.manual_seed(0)
    fast, plain = (kind(5 + SENTENCE, 7, 3, padding=1).double() for _ in range(2))
    plain.load_state_dict(fast.state_dict())
    found = {}
    for conv in (fast, plain):
        torch.manual_seed(1)
        features = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
        vector = torch.randn(2, SENTENCE, dtype=torch.float64, requires_grad=True)
        if conv is fast:
            out = conv_with_vector(conv, features, vector, vector_first)
        else:
            spread = vector[:, :, None, None].expand(-1, -1, 4, 6)
            out = conv(torch.cat([spread, features] if vector_first else [features, spread], dim=1))
        out.square().sum().backward()
        found[conv] = out.detach(), features.grad, vector.grad, conv.weight.grad, conv.bias.grad
    torch.testing.assert_close(found[fast], found[plain])


def test_only_the_conditional_head_reads_the_sentence():
    network, image = judge(16, "spectral"), torch.rand(2, 3, 16, 16)
    features = network.features(image).detach()
    one, other = (network.conditional(features, torch.randn(2, SENTENCE)) for _ in range(2))
    assert (one != other).all()
    sentence = torch.randn(2, SENTENCE, requires_grad=True)
    network.conditional(features, sentence).sum().backward()
    assert sentence.grad.all()


def test_an_unknown_norm_is_named():
    with pytest.raises(ValueError, match=r"norm 'layer' is none of \('batch', 'spectral'\)"):
        judge(8, "layer")
