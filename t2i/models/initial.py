"""The first stage: noise and a caption, as a sentence or word by word, become the smallest features."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2i.config import MultiStageConfig
from t2i.models.blocks import Fusion, doublings, up_block
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH as TEXT_SIZE


class ConditioningAugmentation(nn.Module):
    """A sentence becomes a distribution, and each picture is conditioned on a draw of it (StackGAN, equation 2).

    c = μ + exp(½ log σ²) · ε. The draw is made in eval mode too, as in the official code.
    """

    def __init__(self, sentence_size: int, condition_size: int):
        super().__init__()
        self.condition_size = condition_size
        self.fc = nn.Linear(sentence_size, 4 * condition_size)
        self.gate = nn.GLU(dim=1)

    def forward(self, sentence: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N_s) -> the condition, μ and log σ², each (B, C); ``eps`` (B, C) is drawn here where it is None."""
        mean, log_variance = self.gate(self.fc(sentence)).chunk(2, dim=1)
        eps = torch.randn_like(mean) if eps is None else eps
        return mean + (0.5 * log_variance).exp() * eps, mean, log_variance


class SentenceStage(nn.Module):
    """Condition and noise to features of ``size`` px: a linear map to 4×4, then doublings (AttnGAN, F₀).

    ``width`` is the number of channels at the end; at 4×4 there are twice as many for every doubling. The words of the
    caption are not read here.
    """

    def __init__(self, condition_size: int, noise_size: int, width: int, size: int):
        super().__init__()
        steps = doublings(size)
        base = width << steps
        self.fc = nn.Sequential(
            nn.Linear(condition_size + noise_size, 2 * base * 16, bias=False),
            nn.BatchNorm1d(2 * base * 16),
            nn.GLU(dim=1),
        )
        self.ups = nn.Sequential(*(up_block(base >> k, base >> (k + 1)) for k in range(steps)))

    @classmethod
    def from_config(cls, config: MultiStageConfig) -> "SentenceStage":
        """The stage as ``config`` describes it."""
        return cls(config.condition_size, config.noise_size, config.generator_width, config.sizes[0])

    def forward(self, condition: Tensor, noise: Tensor, text: TextFeatures) -> Tensor:
        """(B, C), (B, Z) -> (B, width, size, size)."""
        return self.ups(self.fc(torch.cat([condition, noise], dim=1)).unflatten(1, (-1, 4, 4)))


class MultiTailStage(nn.Module):
    """For each n-gram of words features of its own, a "tail"; the tails are fused one after the other (MSMT-GAN, 3.1).

    A convolution of ``kernel`` words reads the condition, the noise and each word; every position goes through the same
    doublings. N-grams that reach into the padding are left out, so a caption of L words has L − ``kernel`` + 1 tails; a
    shorter one has a single tail, of its words and zeros.

    While training, the tails of all captions share the statistics of the batch norms and go through the doublings
    together. Position by position, the statistics would take away what sets a position apart (nearly every caption
    begins with "this bird has"), and they would not be those of eval mode. In eval mode only one tail is held.
    """

    def __init__(self, condition_size: int, noise_size: int, text_size: int, width: int, size: int, kernel: int):
        super().__init__()
        steps = doublings(size)
        base = width << steps
        self.kernel = kernel
        self.ngram = nn.Conv1d(condition_size + noise_size + text_size, 2 * base * 16, kernel, bias=False)
        self.norm = nn.BatchNorm1d(2 * base * 16)
        self.gate = nn.GLU(dim=1)
        self.ups = nn.Sequential(*(up_block(base >> k, base >> (k + 1)) for k in range(steps)))
        self.fusion = Fusion(width)

    @classmethod
    def from_config(cls, config: MultiStageConfig) -> "MultiTailStage":
        """The stage as ``config`` describes it."""
        sizes = config.condition_size, config.noise_size, TEXT_SIZE
        return cls(*sizes, config.generator_width, config.sizes[0], config.tail_kernel)

    def forward(self, condition: Tensor, noise: Tensor, text: TextFeatures) -> Tensor:
        """(B, C), (B, Z) and the words -> (B, width, size, size)."""
        grams, counts = self.grams(text)
        rows, positions, order = self.places(counts, grams.shape[1])

        # The condition and the noise are the same at every position, so they are multiplied once for each caption.
        shared = torch.cat([condition, noise], dim=1)
        for_shared, for_words = self.ngram.weight.split([shared.shape[1], text.words.shape[1]], dim=1)
        sums = F.linear(grams[rows, positions], for_words.flatten(1))
        sums = sums + F.linear(shared, for_shared.sum(dim=2))[rows]
        codes = self.gate(self.norm(sums)).unflatten(1, (-1, 4, 4))  # (tails of all captions, position by position)

        return self.fuse(self.ups(codes) if self.training else codes, positions)[order.argsort()]

    # What follows depends on the lengths of the captions: torch.compile would compile it anew for every batch.
    @staticmethod
    @torch.compiler.disable
    def places(counts: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
        """For every tail, position by position, the caption and the n-gram it belongs to, (tails,) each; and the order
        of the captions in which those that still have a tail stand first, (B,)."""
        order = counts.argsort(descending=True, stable=True)
        positions, row = torch.nonzero(torch.arange(longest, device=counts.device)[:, None] < counts[order]).T
        return order[row], positions, order

    @torch.compiler.disable
    def fuse(self, tails: Tensor, positions: Tensor) -> Tensor:
        """Tails of all captions (tails, ...), in eval mode still codes, -> one for each caption: (B, width, s, s)."""
        parts = tails.split(torch.bincount(positions).tolist())
        parts = iter(parts if self.training else map(self.ups, parts))
        fused = next(parts)
        for tail in parts:
            fused = torch.cat([self.fusion(fused[: len(tail)], tail), fused[len(tail) :]])
        return fused

    def grams(self, text: TextFeatures) -> tuple[Tensor, Tensor]:
        """Every n-gram (B, n, 256 · ``kernel``), channel by channel, and how many of them each caption has (B,)."""
        words, mask = text.words, text.mask
        if mask is None:
            mask = words.new_zeros(len(words), words.shape[2], dtype=torch.bool)
        words = words.masked_fill(mask[:, None], 0)
        words = F.pad(words, (0, max(0, self.kernel - words.shape[2])))
        counts = ((~mask).sum(dim=1) - self.kernel + 1).clamp(min=1)
        return words.unfold(2, self.kernel, 1).transpose(1, 2).flatten(2), counts
