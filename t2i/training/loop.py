"""The one training loop of the course: ``fit(config)`` trains any model, continues a run that was stopped, or loads a
finished one."""

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import torch

from t2i import checkpoint, device, locks, own, paths
from t2i.config import Config
from t2i.data.dataset import prefetch
from t2i.errors import Stopped, UserError
from t2i.progress import tqdm
from t2i.training import obtain
from t2i.training.average import Average
from t2i.training.maintenance import Maintenance
from t2i.training.objectives import Objective
from t2i.training.recipe import Recipe
from t2i.training.recipes import RECIPES, prepare
from t2i.training.run import Run

LISTEN_EVERY = 10  # steps between the moments at which the processes of a run ask each other whether to stop


def fit(
    config: Config,
    *,
    directory: Path | None = None,
    given: dict[str, Run] | None = None,
    objective: Objective | None = None,
    resume: bool = True,
) -> Run:
    """Train ``config`` to its last step and return the run.

    The run lies in ``directory``, by default that of its name. What it builds on, a trained text encoder ("encoder") or
    a trained Stage-I ("stage1"), is ``given``, or loaded, or trained first. ``objective`` replaces the model's own
    losses. With ``resume`` a stopped run continues from its last checkpoint with the batches, noise and weights of an
    unbroken run, and a finished run is only loaded. Ctrl-C saves and stops. Raises :class:`UserError` where the folder
    holds a run with other settings, losses or data, where the data are not sound, and where a loss stops being a
    number; the last good checkpoint then stays.
    """
    directory = Path(directory).expanduser().resolve() if directory else config.directory
    if resume and (finished := _finished(config, directory, objective)):
        return finished
    if int(os.environ.get("RANK", 0)):  # the first process writes, for all that train together
        return _train(config, directory, given or {}, objective, resume)
    own.check_run(directory)
    with locks.only_writer(directory):
        return _train(config, directory, given or {}, objective, resume)


def _finished(config: Config, directory: Path, objective: Objective | None) -> Run | None:
    """The run in ``directory`` if it is whole: that takes no lock, and a disk that is read-only will do."""
    if not (saved := obtain.saved_state(directory, optimizers=False)):
        return None
    config = obtain.continued(config, saved, directory)
    obtain.check_losses(saved, config, objective, directory)
    if not obtain.is_complete(saved, config):
        return None
    obtain.check_data(saved, config, directory)
    return Run(obtain.as_long(config, saved), saved, directory)


def _train(config: Config, directory: Path, given: dict[str, Run], objective: Objective | None, resume: bool) -> Run:
    saved = obtain.saved_state(directory) if resume else None
    if saved:
        config = obtain.continued(config, saved, directory)
        basis, asked = obtain.kept(Run(config, saved, directory)), saved["asked"]
    else:
        basis = obtain.basis(config, given, train=fit)
        config, asked = obtain.begun(config, basis, RECIPES[type(config)], given)
    recipe = prepare(config, basis, objective)
    if not saved and recipe.fabric.is_global_zero:
        obtain.say_what_is_new(recipe)
    return Training(recipe, directory, saved, asked).run()


class Training:
    """A run from its first step, or from that of its checkpoint ``saved``, to its last."""

    def __init__(self, recipe: Recipe, directory: Path, saved: checkpoint.State | None, asked: dict):
        self.recipe, self.config, self.directory, self.asked = recipe, recipe.config, directory, asked
        self.total, self.start, self.seconds = recipe.total_steps(), 0, 0.0
        self.kept = saved["extras"] if saved else {}
        self.data = recipe.index.digest()
        network = recipe.networks.get(recipe.averaged)
        self.average = network and Average(network, self.config.ema_decay)
        if saved:
            self._restore(saved)

    def run(self) -> Run:
        """Every step that is left, with everything that happens between them."""
        config, fabric = self.config, self.recipe.fabric
        if fabric.is_global_zero:
            self._open_folder()
        main = fabric.is_global_zero
        bar = tqdm(total=self.total, initial=self.start, desc=config.name, unit="step", disable=None if main else True)
        maintenance = Maintenance(self, bar)
        with _interrupt() as interrupted, bar:
            for step, batch in enumerate(prefetch(self.recipe.batch, self.start, self.total), start=self.start):
                device.seed_step(config.seed, step)
                losses = self.recipe.train_step(batch, step)
                self._average(step + 1)
                bar.update()
                stop = _anywhere(fabric, interrupted.is_set(), step)
                maintenance(step + 1, losses, last=stop)
                if stop and step + 1 < self.total:
                    raise Stopped(
                        f"{config.name} stopped after step {step + 1} of {self.total}; the same command goes on from"
                        " there."
                    )
        return Run(config, maintenance.state(self.total), self.directory)

    def _average(self, step: int) -> None:
        if self.average is None:
            return
        network = self.recipe.networks[self.recipe.averaged]
        self.average.update(network)
        if (every := self.config.write_back_every) and step % every == 0:
            self.average.write_back(network)

    def _open_folder(self) -> None:
        if self.start == 0:
            own.drop_figures(self.directory)
        paths.write_json(self.directory / "config.json", self.config.to_dict())

    def _restore(self, saved: checkpoint.State) -> None:
        """Put a checkpoint's state into the freshly built networks."""
        recipe, file = self.recipe, self.directory / "checkpoint.pt"
        obtain.check_digest(saved, self.data, self.config, self.directory)
        for name, network in recipe.networks.items():
            checkpoint.load_weights(network, saved["networks"][name], file, f"the {name}")
        for name, optimizer in recipe.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        if self.average is not None:
            self.average.module.load_state_dict(saved["average"])
        self.start, self.seconds = saved["step"], saved["seconds"]
        if self.start > self.total:
            problem = f"{self.directory} is at step {self.start} already, past the {self.total} that are asked for"
            raise UserError(problem, "Ask for more --steps, or replace the run with --no-resume.")


@contextmanager
def _interrupt():
    """Turns the first Ctrl-C into a flag, so that a step is never cut in two; the second one acts at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number, frame):
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _anywhere(fabric, flag: bool, step: int) -> bool:
    """Whether ``flag`` is set in any process: all of them must stop at the same step."""
    if fabric.world_size == 1:
        return flag
    if (step + 1) % LISTEN_EVERY:  # asking waits for the device
        return False
    return bool(fabric.all_reduce(torch.tensor(float(flag)), reduce_op="sum") > 0)
