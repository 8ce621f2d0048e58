"""Attention word by word, and who may see whom under either mask."""

import pytest
import torch

from t2i.models.attention import attend

LENGTHS = [4, 1, 3]
MASK = torch.arange(4) >= torch.tensor(LENGTHS)[:, None]


def correct(b, pixel, pixels, captions):
    """Whose mask pixel ``pixel`` of picture ``b`` meets: its own caption's."""
    return b


def official(b, pixel, pixels, captions):
    """That of the row of the flattened batch, as the mask is tiled."""
    return (b * pixels + pixel) % captions


def slow(queries, keys, values, mask, whose):
    """Every pixel by itself: what it reads and its attention, in the shapes of ``attend``."""
    captions, _, height, width = queries.shape
    read, attention = torch.zeros(captions, values.shape[1], height, width).double(), []
    for b in range(captions):
        for pixel in range(height * width):
            y, x = divmod(pixel, width)
            owner = whose(b, pixel, height * width, captions)
            seen = [t for t in range(keys.shape[2]) if mask is None or not mask[owner, t]]
            scores = torch.stack([queries[b, :, y, x] @ keys[b, :, t] for t in seen]).exp()
            weights = torch.zeros(keys.shape[2]).double().index_put((torch.tensor(seen),), scores / scores.sum())
            place = torch.zeros(captions, 1, height, width).double()
            place[b, 0, y, x] = 1
            read = read + place * (values[b] @ weights)[:, None, None]
            attention.append(weights)
    attention = torch.stack(attention).reshape(captions, height, width, -1)
    return read, attention.permute(0, 3, 1, 2)


def given(captions=3, height=2, width=3):
    """Queries, keys and values of four words in float64."""
    torch.manual_seed(0)
    shapes = (captions, 5, height, width), (captions, 5, 4), (captions, 2, 4)
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("whose", [correct, official])
@pytest.mark.parametrize("shape", [(3, 2, 3), (3, 2, 2), (2, 1, 3), (1, 2, 2)])  # pixels a multiple of captions, or not
@pytest.mark.parametrize("masked", [True, False])
def test_attention_is_its_equation(whose, shape, masked):
    leaves, mask = given(*shape), MASK[: shape[0]] if masked else None
    found, wanted = attend(*leaves, mask, whose.__name__), slow(*leaves, mask, whose)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.randn_like(part) for part in found]
    gradients = [torch.autograd.grad(out, leaves, slopes) for out in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_padding_gets_nothing_whatever_is_in_it():
    queries, keys, values = given()
    wanted = attend(queries, keys, values, MASK, "correct")
    padding = MASK[:, :, None, None].expand_as(wanted[1])
    assert (wanted[1][padding] == 0).all() and (wanted[1][~padding] > 0).all()
    torch.testing.assert_close(wanted[1].sum(dim=1), torch.ones(3, 2, 3, dtype=torch.double))
    for garbage in (0.0, 1e3, -1e30, 1e30):
        filled = [part.masked_fill(MASK[:, None], garbage) for part in (keys, values)]
        again = attend(queries, *filled, MASK, "correct")
        assert all(torch.equal(*pair) for pair in zip(again, wanted, strict=True))
        slopes = torch.autograd.grad(again[0].sum(), [keys, values])
        assert not any(slope.transpose(1, 2)[MASK].any() for slope in slopes)


def test_a_caption_is_read_alike_in_any_company():
    leaves = given()
    read, attention = attend(*leaves, MASK, "correct")
    for b, length in enumerate(LENGTHS):
        alone = [part[b : b + 1, :, ..., :length] if part.ndim == 3 else part[b : b + 1] for part in leaves]
        for mask in (MASK[b : b + 1, :length], None):
            found = attend(*alone, mask, "correct")
            torch.testing.assert_close(found[0][0], read[b])
            torch.testing.assert_close(found[1][0], attention[b, :length])


def test_under_the_official_mask_company_matters():
    """Pixel 1 of caption 0 meets the mask of caption 1, which is one word long."""
    queries, keys, values = given()
    _, attention = attend(queries, keys, values, MASK, "official")
    assert attention[0, :, 0, 1].tolist() == [1, 0, 0, 0]  # three real words are dropped
    assert (attention[1, 1:, 0, 0] > 0).all()  # and padding is looked at
    alone = attend(queries[:1], keys[:1], values[:1], MASK[:1], "official")[1]
    assert (alone > 0).all()  # the same caption by itself
    every = attend(queries, keys, values, torch.zeros_like(MASK), "official")
    torch.testing.assert_close(every, attend(queries, keys, values, None, "correct"))  # equal lengths: no harm


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match=r"mask 'tiled' is none of \('correct', 'official'\)"):
        attend(*given(), MASK, "tiled")
