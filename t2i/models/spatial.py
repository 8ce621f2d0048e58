"""MSMT-GAN's refinement: a memory for every cell of a grid, and several heads that change the picture in turn."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i.config import MultiStageConfig
from t2i.errors import UserError
from t2i.losses import redundancy
from t2i.models.blocks import Fusion
from t2i.models.refinement import Reading, Refinement
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH as TEXT_SIZE


class Turn(NamedTuple):
    """What one head does: the features after it, its output (B, width, s, s) each, and its attention (B, T, s, s)."""

    features: Tensor
    output: Tensor
    attention: Tensor


class SpatialRefinement(Refinement):
    """MSMT-GAN's stage: ``heads`` memories, all written from the stage's input, are read in turn (section 3.3).

    Each head asks with the features as the heads before it left them, and its output is fused into them (equation 15);
    after several heads the stage's input is fused in once more (16), after one it is not. The stage's own loss is the
    likeness of its heads (21).
    """

    penalty_name = "redundancy"

    def __init__(self, width: int, text_size: int, residual_blocks: int, heads: int, grid: int):
        super().__init__(width, text_size, residual_blocks)
        self.grid = grid
        self.memories = nn.ModuleList(SpatialMemory(width, text_size) for _ in range(heads))
        self.fusions = nn.ModuleList(Fusion(width) for _ in range(heads))
        self.skip = Fusion(width) if heads > 1 else None  # "if we have T heads": one head's U₁ is the response

    @classmethod
    def from_config(cls, config: MultiStageConfig) -> "SpatialRefinement":
        if config.mask != "correct":
            problem = f"{config.model} has no official code, and so none of its attention mask"
            raise UserError(problem, "Leave mask at correct.")
        if config.sizes[0] % config.grid:
            problem = f"Features of {config.sizes[0]} px cannot be divided into {config.grid} × {config.grid} cells"
            raise UserError(problem, "Choose another grid or image size.")
        return cls(config.generator_width, TEXT_SIZE, config.residual_blocks, config.heads, config.grid)

    def read(self, features: Tensor, text: TextFeatures) -> Reading:
        """The response twice over, the heads' mean attention, and their likeness."""
        turns = list(self.turns(features, text))
        updated = turns[-1].features
        response = updated if self.skip is None else self.skip(updated, features)  # equation 16
        attention = torch.stack([turn.attention for turn in turns]).mean(dim=0)
        likeness = redundancy(torch.stack([turn.output.mean(dim=(2, 3)) for turn in turns]))
        return Reading(torch.cat([response, response], dim=1), attention, likeness)

    def turns(self, features: Tensor, text: TextFeatures) -> Iterator[Turn]:
        """What each head does, one after the other."""
        cells = F.avg_pool2d(features, features.shape[2] // self.grid)  # equation 5
        for memory, fusion in zip(self.memories, self.fusions, strict=True):
            output, attention = memory.read(features, memory.remember(cells, text.words), text.mask)
            features = fusion(features, output)
            yield Turn(features, output, attention)


class SpatialMemory(nn.Module):
    """One head: a slot for each word in each cell, so that a word may mean different things in different places.

    Section 3.2 of the paper, in the reading that fits its parameter counts: A and B have no bias, B is the same in all
    cells, and the key has 3 · ``width`` channels, as many as a query has (the printed N_r + p² cannot be multiplied
    with it). The memory has N_m = 2 · ``width`` channels.
    """

    fast = True

    def __init__(self, width: int, text_size: int):
        super().__init__()
        memory = 2 * width
        self.word_gate = nn.Conv1d(text_size, 1, kernel_size=1, bias=False)
        self.cell_gate = nn.Conv2d(width, 1, kernel_size=1, bias=False)
        self.write_word = nn.Conv1d(text_size, memory, kernel_size=1)
        self.write_cell = _conv3(width, memory)
        self.key, self.value = _conv3(memory, 3 * width), _conv3(memory, width)
        self.ask_globally, self.ask_by_cell, self.ask_by_pixel = (_conv3(width, width) for _ in range(3))

    def write(self, cells: Tensor, words: Tensor) -> Tensor:
        """Cells (B, width, h, h) and words (B, N_w, T) -> slots (B, T, 2 · width, h, h), equations 6 and 7."""
        word = self.write_word(words).transpose(1, 2)[:, :, None, None]
        cell = self.write_cell(cells).movedim(1, 3)[:, None]
        gate = self.gate(cells, words)[..., None]  # (B, T, h, h, 1), with channels last, the layout of convolutions
        return (cell + gate * (word - cell)).movedim(4, 2)

    def gate(self, cells: Tensor, words: Tensor) -> Tensor:
        """How much of a slot is the word's, the rest being the cell's: (B, T, h, h), equation 6."""
        return torch.sigmoid(self.word_gate(words).transpose(1, 2)[..., None] + self.cell_gate(cells))

    def ask(self, features: Tensor, grid: int) -> tuple[Tensor, Tensor, Tensor]:
        """The query's three parts (equations 9 to 12): for the picture (B, width), for each cell (B, width, h, h) and
        for each pixel (B, width, s, s).

        The first two are means of a convolution's output. It is linear, so it may as well be applied to the means of
        its input: that spares two of three convolutions of the whole picture. ``fast = False`` takes the plain way.
        """
        by_pixel = self.ask_by_pixel(features)
        cell = features.shape[2] // grid
        if not self.fast:
            return (
                self.ask_globally(features).mean(dim=(2, 3)),
                F.avg_pool2d(self.ask_by_cell(features), cell),
                by_pixel,
            )
        seen = tap_means(features, cell).flatten(1, 3)  # (B, 9 · width, h, h)
        globally = F.linear(seen.mean(dim=(2, 3)), self.ask_globally.weight.flatten(1), self.ask_globally.bias)
        by_cell = F.conv2d(seen, self.ask_by_cell.weight.flatten(1)[..., None, None], self.ask_by_cell.bias)
        return globally, by_cell, by_pixel

    def forward(self, features: Tensor, slots: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """:meth:`read` of the slots (B, T, 2 · width, h, h) that :meth:`write` gave."""
        return self.read(features, self.encode(slots), mask)

    def read(self, features: Tensor, encoded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Each pixel of ``features`` (B, width, s, s) reads the slots of its cell (equations 8, 13 and 14), whose keys
        and values are ``encoded``: the output (B, width, s, s) and the attention over words (B, T, s, s), which is zero
        in the padding (``mask``, True).

        The picture's and the cell's part of a query meet the keys once for each cell; only the pixel's part is
        multiplied pixel by pixel, with the pixels of a cell in one matrix. No slot is ever repeated for each pixel.
        """
        grid, width = int((len(encoded) // len(features)) ** 0.5), features.shape[1]
        globally, by_cell, by_pixel = self.ask(features, grid)
        for_cell, for_pixel, values = encoded.split([2 * width, width, width], dim=2)  # (cells, T, channels)
        known = torch.cat([globally[..., None, None].expand_as(by_cell), by_cell], dim=1)
        scores = into_cells(by_pixel, grid) @ for_pixel.mT + into_cells(known, grid) @ for_cell.mT
        if mask is not None:
            scores = scores.masked_fill(mask.repeat_interleave(grid**2, dim=0)[:, None], -torch.inf)
        attention = scores.softmax(dim=2)  # (cells, pixels of a cell, T)
        return out_of_cells(attention @ values, grid), out_of_cells(attention, grid)

    def encode(self, slots: Tensor) -> Tensor:
        """Keys and values of the slots, side by side: (B, T, 2 · width, h, h) -> (B · h · h, T, 4 · width)."""
        encoded = F.conv2d(slots.flatten(0, 1), *self._encoder(), padding=1).unflatten(0, slots.shape[:2])
        return encoded.permute(0, 3, 4, 1, 2).flatten(0, 2)

    def remember(self, cells: Tensor, words: Tensor) -> Tensor:
        """:meth:`encode` of what :meth:`write` writes, but no slot is laid out.

        A slot is (1 − g) · cell + g · word with one number g. What its convolution adds up over nine taps is such a
        mixture too, so every cell and every word meets each tap once, and only the nine pairs of vectors are mixed for
        every word in every cell: a tenth of the multiplications. ``fast = False`` takes the plain way.
        """
        if not self.fast:
            return self.encode(self.write(cells, words))
        weight, bias = self._encoder()
        word = F.linear(self.write_word(words).transpose(1, 2), weight.permute(2, 3, 0, 1).flatten(0, 2))
        cell = _taps(self.write_cell(cells)).permute(2, 0, 3, 1).flatten(1, 2)  # (9, B · h · h, 2 · width)
        cell = (cell @ weight.permute(2, 3, 1, 0).flatten(0, 1)).transpose(0, 1)  # (B · h · h, 9, 4 · width)
        gate = _taps(self.gate(cells, words))  # (B, T, 9, h · h)
        by_cell = (1 - gate).permute(0, 3, 1, 2).flatten(0, 1) @ cell  # (B · h · h, T, 4 · width)
        by_word = gate.mT @ word.unflatten(2, (9, -1))  # (B, T, h · h, 4 · width)
        return by_cell + (by_word.transpose(1, 2).flatten(0, 1) + bias)

    def _encoder(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution that gives key and value side by side."""
        return torch.cat([self.key.weight, self.value.weight]), torch.cat([self.key.bias, self.value.bias])


def _taps(maps: Tensor) -> Tensor:
    """What the nine taps of a padded 3×3 kernel see at each pixel: (B, C, h, h) -> (B, C, 9, h · h)."""
    return F.unfold(maps, 3, padding=1).unflatten(1, (-1, 9))


def tap_means(features: Tensor, cell: int) -> Tensor:
    """What each of the nine taps of a padded 3×3 kernel sees on average over each cell of ``cell`` × ``cell`` pixels:
    (B, C, s, s) -> (B, C, 3, 3, s / cell, s / cell)."""
    rows = _tap_means(features, cell, dim=2)
    return torch.stack([torch.stack(_tap_means(row, cell, dim=3), dim=2) for row in rows], dim=2)


def _tap_means(features: Tensor, cell: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means over cells along ``dim``, of the pixels before, at and after: a step to the side exchanges one line."""
    lines = features.unflatten(dim, (-1, cell))
    total, first, last = lines.sum(dim + 1), lines.select(dim + 1, 0), lines.select(dim + 1, cell - 1)
    count, none = total.shape[dim], torch.zeros_like(total.narrow(dim, 0, 1))
    before = total - last + torch.cat([none, last.narrow(dim, 0, count - 1)], dim)
    after = total - first + torch.cat([first.narrow(dim, 1, count - 1), none], dim)
    return before / cell, total / cell, after / cell


def into_cells(pixels: Tensor, grid: int) -> Tensor:
    """(B, C, s, s) -> (B · grid · grid, pixels of a cell, C).

    Here as in the inverse the channels come last on the way, so that pictures and gradients are laid out like that.
    """
    cells = pixels.permute(0, 2, 3, 1).unflatten(2, (grid, -1)).unflatten(1, (grid, -1))  # (B, i, a, j, b, C)
    return cells.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def out_of_cells(cells: Tensor, grid: int) -> Tensor:
    """The inverse of :func:`into_cells`."""
    side = int(cells.shape[1] ** 0.5)
    pixels = cells.unflatten(1, (side, side)).unflatten(0, (-1, grid, grid))  # (B, i, j, a, b, C)
    return pixels.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _conv3(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel_size=3, padding=1)
