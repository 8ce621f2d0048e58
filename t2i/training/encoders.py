"""The encoders that a GAN reads and is judged with: a run of its own."""

from pathlib import Path

import torch

from t2i import config as configs
from t2i.config import Config
from t2i.errors import UserError
from t2i.training.run import Run


def encoder_run(config: Config, saved: dict | None = None) -> Run:
    """The trained text encoder of ``config``: the run in the folder that it names, or the one that belongs to the same
    data, profile and seed, which is trained first if need be.

    A GAN that continues from the checkpoint ``saved`` has its encoders in there, and needs no other folder.
    """
    if saved is not None:
        return Run(config, saved)
    from t2i.training.loop import fit  # fit trains GANs too, and those come through here

    wanted = config.reads
    run = None if config.text_encoder in configs.MODELS else Run.load(Path(config.text_encoder))
    found, what = (run.config.model, f"{run.directory} is a run of") if run else (config.text_encoder, "The encoder is")
    if found != wanted:
        problem = f"{what} {found}, and {config.model} reads with {wanted}"
        raise UserError(problem, f"Name the folder of a {wanted} run.")
    if run:
        return run
    with torch.random.fork_rng(devices=[]):  # the GAN begins alike whether its encoder is trained here or was before
        return fit(configs.needs(config)["encoder"])
