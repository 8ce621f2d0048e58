"""What depends on what in MSMT-GAN's refinement: which cells, words and captions may change a pixel."""

import pytest
import slow
import torch
from torch import nn

from t2i.models.spatial import SpatialMemory, SpatialRefinement
from t2i.text import TextFeatures

GRID, WIDTH, TEXT = 3, 2, 4
LENGTHS = [3, 1]


def a_memory():
    return slow.lively(SpatialMemory(WIDTH, TEXT))


def a_stage(training=True):
    return slow.lively(SpatialRefinement(WIDTH, TEXT, residual_blocks=1, heads=2, grid=GRID)).train(training)


def given():
    """Two pictures with cells of 2 × 2 pixels, and three words for each."""
    leaves = slow.leaves((2, WIDTH, 2 * GRID, 2 * GRID), (2, TEXT, 3))
    return [leaf.detach().mul(0.5).requires_grad_() for leaf in leaves]


def reached(output, given):
    """The places, among the last two dimensions of ``given``, that the sum of ``output`` depends on."""
    (slope,) = torch.autograd.grad(output.sum(), given, retain_graph=True)
    return {tuple(place) for place in slope.abs().flatten(0, -3).sum(dim=0).nonzero().tolist()}


def around(cell, reach=1):
    return {(i, j) for i in range(5) for j in range(5) if max(abs(i - cell[0]), abs(j - cell[1])) <= reach}


def centred(conv):
    """Of its kernel only the centre tap is left."""
    conv.weight.data.mul_(torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))


CELLS = [(0, 0), (2, 3), (4, 2)]  # of a grid of five by five


@pytest.mark.parametrize("cell", CELLS)
def test_a_slot_knows_its_own_cell_by_the_gate_and_its_neighbours_by_the_convolution(cell):
    """Equation 6 reads C_ij alone; equation 7 reads M_c(C)_ij, and M_c is a 3×3 convolution over the grid."""
    memory, (cells, words) = a_memory(), slow.leaves((1, WIDTH, 5, 5), (1, TEXT, 2))

    def slot(word=slice(None)):
        return memory.write(cells, words)[0, word, :, cell[0], cell[1]]

    assert reached(slot(), cells) == around(cell)
    (slope,) = torch.autograd.grad(slot(word=0).sum(), words)
    assert slope[..., 0].all() and not slope[..., 1].any()  # of the words it knows its own
    centred(memory.write_cell)
    assert reached(slot(), cells) == {cell}
    nn.init.zeros_(memory.write_cell.weight)
    assert reached(slot(), cells) == {cell}  # by the gate alone, which weighs the word against a constant
    nn.init.zeros_(memory.cell_gate.weight)
    assert reached(slot(), cells) == set()


@pytest.mark.parametrize("cell", CELLS)
def test_a_pixel_reads_its_cell_s_slots_and_through_the_convolutions_those_next_to_it(cell):
    """Key and value of a slot are 3×3 convolutions over the grid, so they see the eight slots around it as well."""
    memory, (features, slots) = a_memory(), slow.leaves((1, WIDTH, 10, 10), (1, 3, 2 * WIDTH, 5, 5))

    def read_by(pixel):
        return [part[0, :, pixel[0], pixel[1]] for part in memory(features, slots, None)]

    for pixel in ((2 * cell[0] + a, 2 * cell[1] + b) for a in (0, 1) for b in (0, 1)):
        output, attention = read_by(pixel)
        assert reached(output, slots) == reached(attention[0], slots) == around(cell)
    centred(memory.key), centred(memory.value)
    output, attention = read_by(pixel)
    assert reached(output, slots) == reached(attention[0], slots) == {cell}


@pytest.mark.parametrize("fast", [True, False])
def test_a_query_knows_the_whole_picture_and_more_of_its_cell(fast):
    """Without the global part: the pixels of its cell, and as far as a 3×3 kernel reaches beyond them."""
    memory, (features, slots) = a_memory(), slow.leaves((1, WIDTH, 10, 10), (1, 3, 2 * WIDTH, 5, 5))
    memory.fast = fast

    def asked():  # by a pixel in the corner of cell (1, 2)
        return reached(memory(features, slots, None)[1][0, 0, 3, 4], features)

    assert len(asked()) == 100
    nn.init.zeros_(memory.ask_globally.weight)
    assert asked() == {(u, v) for u in range(1, 5) for v in range(3, 7)}
    nn.init.zeros_(memory.ask_by_cell.weight)
    assert asked() == {(u, v) for u in range(2, 5) for v in range(3, 6)}


def test_the_key_s_bias_moves_all_words_alike():
    """So it has no effect, and no gradient: the softmax over words does not see it."""
    memory, (features, words) = a_memory(), given()
    slots = memory.write(nn.functional.avg_pool2d(features, 2), words)
    wanted = memory(features, slots, None)
    (slope,) = torch.autograd.grad(sum(part.square().sum() for part in wanted), memory.key.bias)
    assert slope.abs().max() < 1e-12
    memory.key.bias.data.normal_()
    torch.testing.assert_close(memory(features, slots, None), wanted)


def test_each_pixel_s_attention_is_shared_out_among_the_words_of_its_caption():
    stage, (features, words) = a_stage(), given()
    turns = list(stage.turns(features, slow.captions(words, LENGTHS)))
    for maps in (*(turn.attention for turn in turns), stage(features, slow.captions(words, LENGTHS))[1]):
        assert maps.shape == (2, 3, 6, 6)
        torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 6, 6).double())
        for picture, length in zip(maps, LENGTHS, strict=True):
            assert (picture[:length] > 0).all() and not picture[length:].any()
    assert not torch.allclose(turns[0].attention, turns[1].attention)
    one = stage(features, slow.captions(words[:, :, :1], None))[1]
    assert (one == 1).all()


@pytest.mark.parametrize("training", [True, False])
def test_padding_never_changes_the_features(training):
    stage, (features, words) = a_stage(training=training), given()
    text = slow.captions(words, LENGTHS)
    wanted, maps, penalty = stage(features, text)
    garbage = text._replace(words=words.masked_fill(text.mask[:, None], 1e3))
    places = [nn.functional.pad(part, (0, 4), value=value) for part, value in ((words, 7.0), (text.mask, True))]
    for changed in (garbage, TextFeatures(places[0], text.sentence, places[1])):
        found = stage(features, changed)
        torch.testing.assert_close((found[0], found[1][:, :3], found[2]), (wanted, maps, penalty))
        assert not found[1][:, 3:].any()
    (slope,) = torch.autograd.grad(wanted.square().sum() + penalty, words)
    padding = text.mask[:, None].expand_as(words)
    assert not slope[padding].any() and slope[~padding].all()
    none, nothing = (stage(features, text._replace(mask=mask)) for mask in (None, torch.zeros_like(text.mask)))
    torch.testing.assert_close(none, nothing)


def test_in_eval_mode_a_caption_needs_no_company():
    stage, (features, words) = a_stage(training=False), given()
    wanted = stage(features, slow.captions(words, LENGTHS))
    penalties = []
    for b, length in enumerate(LENGTHS):
        found = stage(features[b : b + 1], slow.captions(words[b : b + 1, :, :length], None))
        torch.testing.assert_close((found[0][0], found[1][0]), (wanted[0][b], wanted[1][b, :length]))
        penalties.append(found[2].item())
    assert wanted[2].item() == pytest.approx(sum(penalties) / 2, rel=1e-5)
