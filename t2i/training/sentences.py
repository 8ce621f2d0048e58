"""Sentence vectors of a whole data set, encoded once: the encoder is frozen while a GAN trains."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from t2i.device import on_device
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.text.encode import encode


class SentenceTable:
    """The vectors of all captions of all images, on the CPU: (captions in all, N_s)."""

    def __init__(self, encoder: CharCnnRnn, captions: Sequence[Sequence[str]], device: torch.device):
        texts = [caption for written in captions for caption in written]
        with on_device(encoder, device.type) as there:
            self.vectors = encode(there, texts).clone()
        self.counts = np.array([len(written) for written in captions])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def average(self, indices: np.ndarray, count: int, rng: np.random.Generator) -> Tensor:
        """For each image the mean of ``count`` of its captions, drawn with replacement: (B, N_s)."""
        picks = (rng.random((len(indices), count)) * self.counts[indices, None]).astype(np.int64)
        return self.vectors[torch.from_numpy(self.starts[indices, None] + picks)].mean(dim=1)
