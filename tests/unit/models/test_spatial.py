"""MSMT-GAN's refinement against its equations, cell by cell and pixel by pixel."""

import pytest
import slow
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from t2i import config as configs
from t2i import losses, models
from t2i.errors import UserError
from t2i.models.spatial import SpatialMemory, SpatialRefinement, into_cells, out_of_cells, tap_means
from t2i.text import TextFeatures

GRID, WIDTH, TEXT = 3, 2, 4
LENGTHS = [3, 1]


def mean_of(picture, rows, columns):
    """Equations 5, 10 and 11: the mean pixel of a part of a picture (C, s, s)."""
    return sum(picture[:, u, v] for u in rows for v in columns) / (len(rows) * len(columns))


def of_cell(index, pixels):
    """The rows or columns of a cell that is ``pixels`` wide, and every pair of the two is a pixel of it."""
    return [index * pixels + a for a in range(pixels)]


def slow_slots(memory, features, words):
    """Equations 5 to 7 for one picture (C, s, s) and its words (D, T): slots[l], each (N_m, h, h)."""
    pixels = features.shape[1] // GRID
    means = [[mean_of(features, of_cell(i, pixels), of_cell(j, pixels)) for j in range(GRID)] for i in range(GRID)]
    cells = torch.stack([torch.stack(row, dim=1) for row in means], dim=1)
    encoded = slow.conv3(cells[None], memory.write_cell.weight, memory.write_cell.bias)[0]
    by_word, by_cell = memory.word_gate.weight[0, :, 0], memory.cell_gate.weight[0, :, 0, 0]
    slots = []
    for word in words.T:
        written = memory.write_word.weight[:, :, 0] @ word + memory.write_word.bias
        slot = []
        for i in range(GRID):
            for j in range(GRID):
                gate = slow.sigmoid(by_word @ word + by_cell @ cells[:, i, j])
                slot.append(written * gate + encoded[:, i, j] * (1 - gate))
        slots.append(torch.stack(slot, dim=1).unflatten(1, (GRID, GRID)))
    return slots


def slow_head(memory, features, slots, seen):
    """Equations 8 to 14 for one picture: the output (C, s, s) and the attention (T, s, s)."""
    side = features.shape[1]
    pixels = side // GRID
    asked = memory.ask_globally, memory.ask_by_cell, memory.ask_by_pixel
    whole, grid, local = (slow.conv3(features[None], part.weight, part.bias)[0] for part in asked)
    keys, values = (
        [slow.conv3(slot[None], part.weight, part.bias)[0] for slot in slots] for part in (memory.key, memory.value)
    )
    globally = mean_of(whole, range(side), range(side))
    found, shares = {}, {}
    for i in range(GRID):
        for j in range(GRID):
            by_cell = mean_of(grid, of_cell(i, pixels), of_cell(j, pixels))
            here = [[part[:, i, j] for part in parts] for parts in (keys, values)]
            for u in of_cell(i, pixels):
                for v in of_cell(j, pixels):
                    query = torch.cat([globally, by_cell, local[:, u, v]])
                    found[u, v], shares[u, v] = slow.read(query, *here, seen)
    return tuple(
        torch.stack([part[divmod(k, side)] for k in range(side**2)], dim=1).unflatten(1, (side, side))
        for part in (found, shares)
    )


def slow_stage(stage, features, words, seen):
    """Equations 15 and 16 before the residual blocks for one picture: the response, the heads' mean attention, and the
    heads' mean outputs (20). One head's U₁ is the response."""
    updated, outputs, maps = features, [], []
    for memory, fusion in zip(stage.memories, stage.fusions, strict=True):
        output, attention = slow_head(memory, updated, slow_slots(memory, features, words), seen)
        updated = slow.fuse(updated, output, fusion)
        side = range(features.shape[1])
        outputs.append(mean_of(output, side, side))
        maps.append(attention)
    response = updated if len(outputs) == 1 else slow.fuse(updated, features, stage.skip)
    return response, sum(maps) / len(maps), outputs


def slow_redundancy(outputs):
    """Equation 21, of one picture's mean outputs."""
    count = len(outputs)
    pairs = [(outputs[i], outputs[j]) for i in range(count) for j in range(i + 1, count)]
    return sum((a @ b) / ((a @ a).sqrt() * (b @ b).sqrt()) for a, b in pairs)


def seen_of(lengths, places):
    return [[t < length for t in range(places)] for length in lengths]


def felt(module):
    """All parameters but the bias of a key, which has no effect (``test_the_key_s_bias_moves_all_words_alike``)."""
    return [parameter for name, parameter in module.named_parameters() if not name.endswith("key.bias")]


def a_memory():
    return slow.lively(SpatialMemory(WIDTH, TEXT))


def a_stage(heads=2, residual_blocks=1, training=True):
    return slow.lively(SpatialRefinement(WIDTH, TEXT, residual_blocks, heads, GRID)).train(training)


def given(pixels=2, places=3, pictures=2):
    """Features of cells of ``pixels`` × ``pixels``, and words, both small enough for a softmax that is not decided."""
    return [part.detach().mul(0.5).requires_grad_() for part in slow.leaves(
        (pictures, WIDTH, GRID * pixels, GRID * pixels), (pictures, TEXT, places)
    )]  # fmt: skip


def test_slots_are_their_equations():
    memory, (cells, words) = a_memory(), given(pixels=1)
    found = memory.write(cells, words)
    wanted = torch.stack([torch.stack(slow_slots(memory, *pair)) for pair in zip(cells, words, strict=True)])
    assert found.shape == (2, 3, 2 * WIDTH, GRID, GRID)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    parts = memory.word_gate, memory.cell_gate, memory.write_word, memory.write_cell
    slow.assert_same_gradients([found], [wanted], [cells, words, *(p for part in parts for p in part.parameters())])


def test_keys_and_values_need_no_slots():
    memory, (cells, words) = a_memory(), given(pixels=1)
    found, wanted = memory.remember(cells, words), memory.encode(memory.write(cells, words))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    learned = [p for name, p in memory.named_parameters() if not name.startswith("ask")]
    slow.assert_same_gradients([found], [wanted], [cells, words, *learned])
    memory.fast = False
    torch.testing.assert_close(memory.remember(cells, words), wanted, rtol=0, atol=0)


def test_without_slots_a_sixth_of_the_multiplications_is_left_at_the_papers_size():
    flops = {}
    with torch.device("meta"):
        memory, cells, words = SpatialMemory(48, 256), torch.empty(1, 48, 8, 8), torch.empty(1, 256, 18)
    for memory.fast in (True, False):
        with FlopCounterMode(display=False) as counter:
            memory.remember(cells, words)
        flops[memory.fast] = counter.get_total_flops()
    assert flops[True] < flops[False] / 6


@pytest.mark.parametrize("pixels", [1, 2, 4])
@pytest.mark.parametrize("fast", [True, False])
def test_a_query_has_three_parts(pixels, fast):
    memory, (features, _) = a_memory(), given(pixels)
    memory.fast, side = fast, GRID * pixels
    asked = memory.ask_globally, memory.ask_by_cell, memory.ask_by_pixel
    whole, grid, local = (slow.conv3(features, part.weight, part.bias) for part in asked)
    globally = torch.stack([mean_of(part, range(side), range(side)) for part in whole])
    by_cell = torch.zeros(2, WIDTH, GRID, GRID).double()
    for b in range(2):
        for i in range(GRID):
            for j in range(GRID):
                by_cell[b, :, i, j] = mean_of(grid[b], of_cell(i, pixels), of_cell(j, pixels))
    found, wanted = memory.ask(features, GRID), (globally, by_cell, local)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    slow.assert_same_gradients(found, wanted, [features, *(p for part in asked for p in part.parameters())])


@pytest.mark.parametrize("pixels", [1, 2, 4])
@pytest.mark.parametrize(("places", "lengths"), [(3, LENGTHS), (3, None), (1, None), (1, [1, 1])])
def test_a_head_is_its_equations(pixels, places, lengths):
    memory, (features, words) = a_memory(), given(pixels, places)
    slots = memory.write(nn.functional.avg_pool2d(features, pixels), words)
    found = memory(features, slots, slow.captions(words, lengths).mask)
    each = [
        slow_head(memory, f, slow_slots(memory, f, w), seen)
        for f, w, seen in zip(features, words, seen_of(lengths or [places] * 2, places), strict=True)
    ]
    wanted = tuple(torch.stack(part) for part in zip(*each, strict=True))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    if places > 1:  # one word is read whatever is asked
        slow.assert_same_gradients(found, wanted, [features, words, *felt(memory)])
    else:
        assert (found[1] == 1).all()
        written = [p for name, p in memory.named_parameters() if name.startswith(("value", "write", "cell", "word"))]
        slow.assert_same_gradients(found[:1], wanted[:1], [features, words, *written])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("heads", "pixels", "lengths"), [(1, 2, LENGTHS), (2, 1, None), (3, 2, LENGTHS)])
def test_a_refinement_is_its_equations(heads, pixels, lengths, training):
    stage, (features, words) = a_stage(heads, training=training), given(pixels)
    *found, penalty = stage(features, slow.captions(words, lengths))
    each = [slow_stage(stage, *one) for one in zip(features, words, seen_of(lengths or [3, 3], 3), strict=True)]
    response, maps = (torch.stack([one[k] for one in each]) for k in (0, 1))
    refined = torch.cat([response, response], dim=1)
    for block in stage.residual:
        refined = slow.residual(refined, block)
    wanted = [slow.up(refined, stage.up), maps]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    inputs = [features, words, *felt(stage)]
    slow.assert_same_gradients(found, wanted, inputs)

    alike = sum(slow_redundancy(one[2]) for one in each) / len(each)  # which the package computes in float32
    torch.testing.assert_close(penalty.double(), torch.as_tensor(alike).double(), rtol=1e-5, atol=1e-6)
    assert (penalty == 0) == (heads == 1)
    if heads > 1:
        gradients = [torch.autograd.grad(loss, inputs, allow_unused=True) for loss in (penalty, alike)]
        torch.testing.assert_close(*([g for g in each if g is not None] for each in gradients), rtol=1e-4, atol=1e-6)
        assert [g is None for g in gradients[0]] == [g is None for g in gradients[1]]


def test_the_turns_are_the_heads_one_after_the_other():
    stage, (features, words) = a_stage(heads=3), given()
    turns = list(stage.turns(features, slow.captions(words, LENGTHS)))
    before = features
    for memory, fusion, turn in zip(stage.memories, stage.fusions, turns, strict=True):
        slots = memory.write(nn.functional.avg_pool2d(features, 2), words)  # the stage's input, whatever came between
        torch.testing.assert_close(
            (turn.output, turn.attention), memory(before, slots, slow.captions(words, LENGTHS).mask)
        )
        torch.testing.assert_close(turn.features, fusion(before, turn.output))
        before = turn.features
    _, attention, penalty = stage(features, slow.captions(words, LENGTHS))
    torch.testing.assert_close(attention, sum(turn.attention for turn in turns) / 3)
    assert penalty == losses.redundancy(torch.stack([turn.output.mean(dim=(2, 3)) for turn in turns]))


@pytest.mark.parametrize("cell", [1, 2, 3])
def test_the_means_that_each_tap_sees(cell):
    (features,) = slow.leaves((2, WIDTH, 2 * cell, 2 * cell))
    padded = nn.functional.pad(features, (1, 1, 1, 1))
    taps = [[padded[:, :, a : a + 2 * cell, b : b + 2 * cell] for b in range(3)] for a in range(3)]
    wanted = torch.stack([torch.stack([nn.functional.avg_pool2d(t, cell) for t in row], dim=2) for row in taps], dim=2)
    torch.testing.assert_close(tap_means(features, cell), wanted)


def test_cells_are_cut_out_and_put_back():
    pixels = torch.arange(2 * 3 * 36).reshape(2, 3, 6, 6)
    cells = into_cells(pixels, GRID)
    assert cells.shape == (2 * 9, 4, 3)
    assert torch.equal(cells[9 + 3 * 1 + 2], pixels[1, :, 2:4, 4:6].flatten(1).T)  # picture 1, cell (1, 2)
    assert torch.equal(out_of_cells(cells, GRID), pixels)


def test_a_fast_query_needs_little_more_than_a_third_of_the_multiplications():
    """At the paper's size one convolution of the whole picture is left of three, and one of the means of the cells."""
    flops = {}
    with torch.device("meta"):
        memory, features = SpatialMemory(48, 256), torch.randn(1, 48, 128, 128)
    for memory.fast in (True, False):
        with FlopCounterMode(display=False) as counter:
            memory.ask(features, 8)
        flops[memory.fast] = counter.get_total_flops()
    one = 2 * 9 * 48 * 48
    assert flops == {False: 3 * one * 128**2, True: one * (128**2 + 8**2 + 1)}


@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_a_refinement_in_mixed_precision(lengths):
    torch.manual_seed(0)
    stage = SpatialRefinement(WIDTH, TEXT, residual_blocks=1, heads=2, grid=GRID)
    features, words = (part.detach().float().requires_grad_() for part in given())
    exact = stage(features, slow.captions(words, lengths))
    with torch.autocast("cpu", torch.bfloat16):
        made, maps, penalty = stage(features, slow.captions(words, lengths))
    torch.testing.assert_close(maps.float(), exact[1], rtol=0.05, atol=0.02)
    assert penalty.dtype == torch.float32 and penalty.item() == pytest.approx(exact[2].item(), abs=0.05)
    gradients = torch.autograd.grad(made.float().square().sum() + penalty, [features, words, *felt(stage)])
    assert all(part.isfinite().all() for part in (made, maps, *gradients)) and all(part.any() for part in gradients)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(mask="official"), "mtwig-sdm-gan has no official code, and so none of its attention mask. "
                                "Leave mask at correct."),
        (dict(grid=3), "Features of 8 px cannot be divided into 3 × 3 cells. Choose another grid or image size."),
        (dict(grid=16), "Features of 8 px cannot be divided into 16 × 16 cells. Choose another grid or image size."),
        (dict(initial="tial"), "mtwig-sdm-gan asks for an initial stage called 'tial', which there is not. "
                               "Choose among: sentence, tails."),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(settings, sentence):
    with pytest.raises(UserError) as refused:
        models.from_config(configs.load("mtwig-sdm-gan", "aviary", "smoke", **settings))
    assert str(refused.value) == sentence


def test_a_refinement_can_be_counted_on_the_meta_device():
    with torch.device("meta"):
        stage = SpatialRefinement(WIDTH, TEXT, residual_blocks=1, heads=2, grid=GRID)
        text = TextFeatures(torch.empty(1, TEXT, 3), torch.empty(1, TEXT), torch.zeros(1, 3, dtype=torch.bool))
        refined, attention, likeness = stage(torch.empty(1, WIDTH, 2 * GRID, 2 * GRID), text)
    assert refined.shape == (1, WIDTH, 4 * GRID, 4 * GRID) and attention.shape[1] == 3 and likeness.shape == ()
