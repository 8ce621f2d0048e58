"""Batch-norm statistics for averaged weights."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCHES = 20


def settle(model: nn.Module, draw: Callable[[int], object]) -> None:
    """Measure the statistics of ``model`` anew over ``draw(0)`` to ``draw(19)``, each of which draws a batch with it.

    The statistics of the live network belong to other weights than the averaged ones, and where a run is short the
    difference is most of the picture. (The official code copies the live ones.)
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches that follow
    model.train()
    with torch.inference_mode():
        for k in range(BATCHES):
            draw(k)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
