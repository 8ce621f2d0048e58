"""The first stage: a sentence and noise become the smallest features."""

import torch
from torch import Tensor, nn

from t2i.models.blocks import doublings, up_block
from t2i.text import TextFeatures


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

    def forward(self, condition: Tensor, noise: Tensor, text: TextFeatures) -> Tensor:
        """(B, C), (B, Z) -> (B, width, size, size)."""
        return self.ups(self.fc(torch.cat([condition, noise], dim=1)).unflatten(1, (-1, 4, 4)))
