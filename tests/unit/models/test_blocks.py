"""The shared pieces: the fast doubling against the plain one, spectral norm against the recipe of its paper."""

import pytest
import slow
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from t2i.models.blocks import Fusion, Gate, SpectralConv2d, UpConv2d, doublings, gated_residual, image_head, up_block


def both_ways(conv: UpConv2d, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """(output, gradient of the input, gradient of the weight), the fast way and the plain way."""
    found = []
    for conv.fast in (True, False):
        out = conv(x)
        slope = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
        found.append((out, *torch.autograd.grad(out, [x, conv.weight], slope)))
    return found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 5), (8, 8)])
def test_the_fast_doubling_is_the_plain_one(size, layout, monkeypatch):
    monkeypatch.setattr(UpConv2d, "fast_from", 1)
    torch.manual_seed(0)
    conv = UpConv2d(3, 4).double().to(memory_format=layout)
    x = torch.randn(2, 3, *size, dtype=torch.double).to(memory_format=layout).requires_grad_()
    fast, plain = both_ways(conv, x)
    assert fast[0].shape == (2, 4, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("mixed", "error"), [(False, 1e-6), (True, 3.2e-3)])
def test_the_fast_doubling_rounds_no_worse_than_the_precision_it_computes_in(mixed, error, layout):
    """Summed in bfloat16, a kernel would be off by more before it is used."""
    torch.manual_seed(0)
    conv, x = UpConv2d(16, 24).to(memory_format=layout), torch.randn(2, 16, 16, 16).to(memory_format=layout)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        fast = conv(x)
    with torch.no_grad():
        conv.fast = False
        exact = conv.double()(x.double())
    assert fast.dtype == (torch.bfloat16 if mixed else torch.float32)
    assert fast.is_contiguous(memory_format=layout)
    assert (fast - exact).square().mean().sqrt() < error * exact.square().mean().sqrt()


def test_the_fast_doubling_needs_four_ninths_of_the_multiplications_where_it_is_taken():
    conv, flops = UpConv2d(8, 16), {}
    for side in (8, 16, 64):
        for conv.fast in (True, False):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                conv(torch.randn(1, 8, side, side))
            flops[conv.fast] = counter.get_total_flops()
        assert flops[False] == 2 * 9 * 8 * 16 * (2 * side) ** 2
        assert flops[True] * 9 == flops[False] * (4 if side >= 16 else 9)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gate_is_a_gated_linear_unit_whose_gradient_keeps_the_layout(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 6, 4, 5, dtype=torch.double).to(memory_format=layout).requires_grad_()
    slope = torch.randn(2, 3, 4, 5, dtype=torch.double).to(memory_format=layout)
    found, wanted = ((out, *torch.autograd.grad(out, x, slope)) for out in (Gate()(x), F.glu(x, dim=1)))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert all(part.is_contiguous(memory_format=layout) for part in found)


def test_an_up_block_doubles_and_gates():
    torch.manual_seed(0)
    block, x = up_block(6, 5), torch.randn(2, 6, 3, 4)
    with torch.no_grad():
        wide = block.norm(block.conv(x))
        assert wide.shape == (2, 10, 6, 8)
        torch.testing.assert_close(block(x), wide[:, :5] * wide[:, 5:].sigmoid())


def test_a_gated_residual_adds_and_leaves_the_sum_alone():
    torch.manual_seed(0)
    block, x = gated_residual(3), torch.randn(2, 3, 4, 5)
    assert [tuple(p.shape) for p in block.parameters() if p.ndim == 4] == [(6, 3, 3, 3), (3, 3, 3, 3)]
    nn.init.zeros_(block.body[-1].weight)
    assert torch.equal(block(x), x) and (x < 0).any()
    nn.init.ones_(block.body[-1].weight)
    first, norm, _, second, last = block.body
    wide = norm(first(x))
    torch.testing.assert_close(block(x), x + last(second(wide[:, :3] * wide[:, 3:].sigmoid())))


def test_a_head_gives_a_picture():
    picture = image_head(4)(50 * torch.randn(2, 4, 6, 6))
    assert picture.shape == (2, 3, 6, 6) and picture.abs().max() <= 1 and picture.abs().max() > 0.99


def test_two_pictures_are_fused_pixel_by_pixel():
    fusion, (a, b) = slow.lively(Fusion(3)), slow.leaves((2, 3, 2, 4), (2, 3, 2, 4))
    found, wanted = fusion(a, b), torch.stack([slow.fuse(*pair, fusion) for pair in zip(a, b, strict=True)])
    torch.testing.assert_close(found, wanted)
    slow.assert_same_gradients([found], [wanted], [a, b, *fusion.parameters()])
    torch.testing.assert_close(fusion(a, a), a)


def test_an_open_gate_keeps_the_first_of_two_and_a_closed_one_the_second():
    fusion, (a, b) = slow.lively(Fusion(3)), slow.leaves((2, 3, 2, 4), (2, 3, 2, 4))
    for bias, kept in ((100.0, a), (-100.0, b)):
        fusion.gate.bias.data.fill_(bias)
        torch.testing.assert_close(fusion(a, b), kept)


def slow_spectral(conv: SpectralConv2d, u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """One forward pass by hand from the vector ``u``: the output and both new vectors."""
    rows = [row.flatten() for row in conv.weight]
    with torch.no_grad():
        v = sum(u[k] * row for k, row in enumerate(rows))
        v = v / v.square().sum().sqrt()
        u = torch.stack([row @ v for row in rows])
        u = u / u.square().sum().sqrt()
    sigma = sum(u[k] * (row @ v) for k, row in enumerate(rows))
    return F.conv2d(x, conv.weight / sigma, conv.bias, stride=2, padding=1), u, v


@pytest.fixture
def spectral():
    torch.manual_seed(0)
    return SpectralConv2d(3, 5, 4, stride=2, padding=1).double()


@pytest.mark.parametrize("training", [True, False])
def test_every_forward_pass_makes_one_iteration(spectral, training):
    x, u = torch.randn(2, 3, 8, 6, dtype=torch.double), spectral.u.clone()
    for _ in range(3):
        wanted, u, v = slow_spectral(spectral, u, x)
        torch.testing.assert_close(spectral.train(training)(x), wanted)
        torch.testing.assert_close([spectral.u, spectral.v], [u, v])


def test_each_pass_keeps_its_own_vectors_for_its_gradient(spectral):
    """As two passes of a discriminator, real and fake, have one backward pass."""
    pictures = torch.randn(2, 2, 3, 8, 8, dtype=torch.double)
    u, wanted = spectral.u.clone(), 0.0
    for x in pictures:
        out, u, _ = slow_spectral(spectral, u, x)
        wanted = wanted + out.square().sum()
    found = sum(spectral(x).square().sum() for x in pictures)
    parameters = list(spectral.parameters())
    gradients = [torch.autograd.grad(loss, parameters) for loss in (found, wanted)]
    torch.testing.assert_close(*gradients)
    assert all(gradient.any() for gradient in gradients[0])


def test_the_largest_singular_value_becomes_one(spectral):
    used = []
    spectral._conv_forward = lambda x, weight, bias: used.append(weight.detach()) or x
    for _ in range(200):
        spectral(torch.zeros(1, 3, 4, 4, dtype=torch.double))
    largest = [torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() for weight in used]
    assert largest[0] > 1.01 and largest[-1] == pytest.approx(1, abs=1e-6)


def test_the_vectors_are_kept_and_not_trained(spectral):
    assert {name for name, _ in spectral.named_parameters()} == {"weight", "bias"}
    assert {name: tuple(b.shape) for name, b in spectral.named_buffers()} == {"u": (5,), "v": (48,)}
    assert {"u", "v"} <= spectral.state_dict().keys()


def test_mixed_precision_estimates_in_float32():
    torch.manual_seed(0)
    conv = SpectralConv2d(3, 4, 3, padding=1)
    x, u = torch.randn(1, 3, 5, 5), conv.u.clone()
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    matrix = conv.weight.detach().flatten(1).double()
    v = F.normalize(matrix.T @ u.double(), dim=0)
    torch.testing.assert_close(conv.u, F.normalize(matrix @ v, dim=0).float())


def test_only_sizes_that_double_from_four_are_built():
    assert [doublings(4 << k) for k in range(1, 7)] == [1, 2, 3, 4, 5, 6]
    for size in (0, 2, 4, 6, 12, 48, 100):
        with pytest.raises(ValueError, match=f"image_size {size} is not 8, 16, 32, 64"):
            doublings(size)
