"""GAN-CLS as the authors' scripts have it: the length of an epoch, the rate, the captions of an image."""

import numpy as np
import pytest
import torch
from torch import nn

from t2i.training.texts import SentenceTexts


def test_an_epoch_counts_its_incomplete_batch_and_the_rate_is_halved_one_epoch_early(tiny, ready):
    made = ready(tiny(halve_every=3, batch_size=8, steps=0, epochs=4))
    assert made.steps_per_epoch == 12 and made.total_steps() == 48  # of 90 images
    rates = []
    for epoch, step in ((2, -1), (2, 0), (5, -1), (5, 0)):
        made.train_step(made.batch(0), epoch * 12 + step)
        rates.append(made.optimizers["generator"].param_groups[0]["lr"] / made.config.learning_rate)
    assert rates == [1, 0.5, 0.5, 0.25]


def test_a_run_of_more_epochs_than_the_papers_goes_through_the_schedule_once(tiny, ready):
    made = ready(tiny(halve_every=3, batch_size=8, steps=2400, epochs=6))  # 200 epochs of 12 steps
    assert [made.epoch(step) for step in (0, 399, 400, 2399)] == [0, 0, 1, 5]
    made.train_step(made.batch(0), 2399)
    assert made.optimizers["generator"].param_groups[0]["lr"] == made.config.learning_rate / 4
    short = ready(tiny(batch_size=8, steps=24, epochs=6))
    assert [short.epoch(step) for step in (11, 12, 23)] == [0, 1, 1]


class Numbers(nn.Module):
    """Reads the caption "k" as a vector whose k-th entry is one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.eye(5))

    def encode(self, texts):
        return self.rows[[int(text) for text in texts]]


@pytest.mark.parametrize("replace", [True, False])
def test_captions_are_drawn_with_or_without_replacement(replace):
    texts = SentenceTexts(Numbers(), [list("01234")] * 4, averaged=3, replace=replace)
    counts = 3 * texts.draw(np.arange(4).repeat(50), np.random.default_rng(0)).sentence
    torch.testing.assert_close(counts.sum(dim=1), torch.full((200,), 3.0))
    assert counts.max().round() == (3 if replace else 1)
    assert (counts.sum(dim=0) > 60).all()  # every caption has its turn


@pytest.mark.parametrize("replaced", [True, False])
def test_the_setting_reaches_the_texts(tiny, ready, replaced):
    texts = ready(tiny(captions_averaged=3, captions_replaced=replaced)).texts
    assert (texts.averaged, texts.replace) == (3, replaced)
