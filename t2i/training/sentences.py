"""Sentence vectors of a whole data set, encoded once: the encoder is frozen while a GAN trains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2i import config as configs
from t2i.config import Config
from t2i.device import visiting
from t2i.errors import UserError
from t2i.text.char_cnn_rnn import CharCnnRnn
from t2i.training.run import Run


class SentenceTable:
    """The vectors of all captions of all images, on the CPU: (captions in all, N_s)."""

    def __init__(
        self, encoder: CharCnnRnn, captions: Sequence[Sequence[str]], device: torch.device, batch_size: int = 512
    ):
        texts = [caption for written in captions for caption in written]
        with torch.inference_mode(), visiting(encoder, device.type) as there:
            parts = [there.encode(texts[i : i + batch_size]).cpu() for i in range(0, len(texts), batch_size)]
        self.vectors = torch.cat(parts).clone()
        self.counts = np.array([len(written) for written in captions])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def average(self, indices: np.ndarray, count: int, rng: np.random.Generator) -> Tensor:
        """For each image the mean of ``count`` of its captions, drawn with replacement: (B, N_s)."""
        picks = (rng.random((len(indices), count)) * self.counts[indices, None]).astype(np.int64)
        return self.vectors[torch.from_numpy(self.starts[indices, None] + picks)].mean(dim=1)


def text_encoder_run(config: Config) -> Run:
    """The trained text encoder of ``config``: the run in the folder that it names, or the one that belongs to the same
    data, profile and seed, which is trained first if need be."""
    from t2i.training.loop import fit  # fit trains GANs too, and those come through here

    wanted = configs.PAPER[config.model, config.dataset].text_encoder
    run = None if config.text_encoder in configs.MODELS else Run.load(Path(config.text_encoder))
    found, what = (run.config.model, f"{run.directory} is a run of") if run else (config.text_encoder, "The encoder is")
    if found != wanted:
        problem = f"{what} {found}, and {config.model} reads with {wanted}"
        raise UserError(problem, f"Name the folder of a {wanted} run.")
    if run:
        return run
    shared = {"root": config.root, "seed": config.seed, "device": config.device}
    return fit(configs.load(config.text_encoder, config.dataset, config.profile, **shared))
