"""The average of a network's weights over its steps (EMA), and batch-norm statistics that belong to it."""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCHES = 20


class Average:
    """A copy of a network whose parameters are ``decay`` · average + (1 − ``decay``) · live; buffers are the live ones.

    What ``torch.optim.swa_utils.AveragedModel`` computes with its EMA functions, without its counter, which waits for
    the GPU in every step. With ``decay`` 0 it is the live network.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.module = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards ``network``, which has the same layout."""
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), 1 - self.decay)
        self._copy(self.module.buffers(), network.buffers())

    @torch.no_grad()
    def write_back(self, network: nn.Module) -> None:
        """Let ``network`` go on from the averaged parameters, as StackGAN++'s code does every so often; its batch-norm
        statistics and its optimiser stay as they are."""
        self._copy(network.parameters(), self.module.parameters())

    @staticmethod
    def _copy(targets, sources) -> None:
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def recalibrate_batch_norm(model: nn.Module, draw: Callable[[int], object]) -> None:
    """Measure the batch-norm statistics of ``model`` anew over ``draw(0)`` to ``draw(19)``, each of which draws a batch
    with it; afterwards it is in eval mode.

    The statistics of the live network belong to other weights than the averaged ones, and where a run is short the
    difference is most of the picture. (The official code copies the live ones.) ``torch.optim.swa_utils.update_bn``
    does the same for models of one input.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches that follow
    model.train()
    with torch.no_grad():
        for k in range(BATCHES):
            draw(k)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
