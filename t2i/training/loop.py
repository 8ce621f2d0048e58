"""The one training loop of the course: ``fit(config)`` trains any model, continues a run that was stopped, or loads a
finished one."""

import math
import signal
import threading
import time
from contextlib import contextmanager

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from t2i import checkpoint, data, device, log, paths
from t2i import config as configs
from t2i.config import Config
from t2i.data.dataset import prefetch
from t2i.errors import UserError
from t2i.training.recipe import Recipe
from t2i.training.run import Run

# A run may be continued with other values of these; anything else would make it another run.
FREE_TO_CHANGE = frozenset(
    ["steps", "epochs", "device", "compile", "log_every", "sample_every", "checkpoint_every", "evaluation_protocol"]
)
PROBE_STEPS = 20


def fit(config: Config, resume: bool = True) -> Run:
    """Train ``config`` to its last step and return the run.

    With ``resume`` a stopped run continues from its last checkpoint with the batches, noise and weights of an unbroken
    run, and a finished run is only loaded. Ctrl-C saves and stops. Raises :class:`UserError` where the
    folder holds a run with other settings, where the data are not sound, and where a loss stops being a number; the
    last good checkpoint then stays.
    """
    from t2i.training import RECIPES  # the table of recipes, which import this package

    config = RECIPES[config.model].available(config)
    saved = _saved_state(config) if resume else None
    fabric = device.start(config.device, config.precision)
    if saved and saved["finished"]:
        as_long = all(saved["config"].get(name) == getattr(config, name) for name in ("steps", "epochs"))
        if saved["step"] >= config.steps > 0 or as_long:
            return Run(config, saved)
    index = data.load(config)
    device.seed_step(config.seed, -1)
    recipe = RECIPES[config.model](config, index, fabric, saved)
    ema = _average(recipe)
    start, total = _restore(saved, recipe, ema, config) if saved else 0, recipe.total_steps()
    if start > total:
        problem = f"{config.directory} is at step {start} already, past the {total} that are asked for"
        raise UserError(problem, "Ask for more --steps, or replace the run with --no-resume.")
    if fabric.is_global_zero:
        if start == 0:  # figures of a run that this one replaces
            for old in (*config.directory.glob("result*.json"), config.directory / "curve.json"):
                old.unlink(missing_ok=True)
        paths.write_json(config.directory / "config.json", config.to_dict())
    state = _train(recipe, ema, start, total)
    return Run(config, state)


def _train(recipe: Recipe, ema, start: int, total: int) -> dict:
    """Steps ``start`` to ``total`` with everything that happens between them; returns the last state."""
    config, fabric = recipe.config, recipe.fabric
    beat = _Beat(recipe, ema, start, total)
    bar = tqdm(
        total=total, initial=start, desc=config.name, unit="step", disable=None if fabric.is_global_zero else True
    )
    with _interrupt() as interrupted, bar:
        for step, batch in enumerate(prefetch(recipe.batch, start, total), start=start):
            device.seed_step(config.seed, step)
            losses = recipe.train_step(batch, step)
            if ema is not None:
                ema.update_parameters(recipe.networks[recipe.averaged])
            bar.update()
            stop = _anywhere(fabric, interrupted.is_set())
            beat(step + 1, losses, bar, last=stop)
            if stop and step + 1 < total:
                raise KeyboardInterrupt(
                    f"{config.name} stopped after step {step + 1} of {total}; the same command goes on from there."
                )
    return beat.state(total)


class _Beat:
    """What happens every so many steps: the log, the sheet of samples, the checkpoint."""

    def __init__(self, recipe: Recipe, ema, start: int, total: int):
        self.recipe, self.ema, self.total, self.config = recipe, ema, total, recipe.config
        self.main = recipe.fabric.is_global_zero
        self.began, self.first, self.sums, self.count = time.perf_counter(), start, {}, 0
        self.good = start
        if self.main:
            self.log = log.Log(self.config.directory / "stats.jsonl", start)
            if start == 0:
                self.save(0)

    def __call__(self, step: int, losses: dict, bar, last: bool) -> None:
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0) + loss.detach()
        self.count += 1
        last = last or step == self.total
        if step % self.config.log_every == 0 or step % self.config.checkpoint_every == 0 or last:
            self.write(step, bar)
        if not self.main:
            return
        drawn = step % self.config.sample_every == 0 or step == self.total
        saved = step % self.config.checkpoint_every == 0 or last
        if self.ema is not None and (drawn or saved):
            self.recipe.settle(self.ema.module)
        if drawn:
            self.recipe.preview(
                self.ema and self.ema.module, self.config.directory / "samples" / f"step_{step:07d}.png"
            )
            if measured := self.recipe.validate():
                self.log.write(step=step, **measured)
        if saved:
            self.save(step)
        if step - self.first == PROBE_STEPS:
            self.estimate(bar)

    def write(self, step: int, bar) -> None:
        """Averages since the last line; a loss that is no number ends the run here, before anything is saved."""
        means = {name: float(total) / self.count for name, total in self.sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                self.refuse(f"{name} became {value}", step)
        if self.main:
            self.log.write(step=step, seconds=round(time.perf_counter() - self.began, 2), **means)
            bar.set_postfix({name: f"{value:.3g}" for name, value in means.items()}, refresh=False)
        self.sums, self.count = {}, 0

    def save(self, step: int) -> None:
        if any(not torch.isfinite(p).all() for network in self.recipe.networks.values() for p in network.parameters()):
            self.refuse("a weight is no longer a finite number", step)
        checkpoint.save(self.config.directory / "checkpoint.pt", self.state(step))
        self.good = step

    def state(self, step: int) -> dict:
        """Everything that the run is, as a checkpoint keeps it."""
        return {
            "config": self.config.to_dict(),
            "step": step,
            "finished": step == self.total,
            "networks": {name: network.state_dict() for name, network in self.recipe.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.recipe.optimizers.items()},
            "ema": None if self.ema is None else self.ema.state_dict(),
            "extras": self.recipe.extras(),
        }

    def refuse(self, what: str, step: int) -> None:
        kept = f"the last good state, step {self.good}, is kept in {self.config.directory / 'checkpoint.pt'}"
        mend = "Lower --learning-rate or try another --seed; the curve in stats.jsonl shows where it began."
        raise UserError(f"{self.config.name}: {what} by step {step}; {kept}", mend)

    def estimate(self, bar) -> None:
        """Say how long the run will take, from its first steps."""
        left = (time.perf_counter() - self.began) / PROBE_STEPS * (self.total - PROBE_STEPS - self.first)
        if left > 600:
            bar.write(f"{self.config.name}: about {left / 3600:.1f} hours to go, by the first {PROBE_STEPS} steps")


def _average(recipe: Recipe):
    """The averaged copy of the network that ``recipe`` names: parameters by EMA, batch-norm buffers from the live."""
    if recipe.averaged is None:
        return None
    network = recipe.networks[recipe.averaged]
    ema = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.config.ema_decay))
    ema.update_parameters(network)  # the first update copies; from the second on it averages
    return ema.requires_grad_(False).eval()


def _saved_state(config: Config) -> dict | None:
    """The checkpoint of an earlier part of this run; :class:`UserError` where the folder holds another run."""
    file = config.directory / "checkpoint.pt"
    if not file.exists():
        return None
    state = checkpoint.read(file)
    before = configs.from_dict(state["config"]).to_dict()  # settings that came later at their defaults
    now = config.to_dict()
    changed = [name for name in now if name not in FREE_TO_CHANGE and before.get(name) != now[name]]
    if changed:
        what = ", ".join(f"{name} {before.get(name)!r} there and {now[name]!r} here" for name in changed)
        raise UserError(
            f"{config.directory} holds a run with other settings ({what})",
            "Choose another --seed or T2I_RUNS, or replace the run with --no-resume.",
        )
    return state


def _restore(saved: dict, recipe: Recipe, ema, config: Config) -> int:
    """Put a checkpoint's state into the freshly built networks; returns the step to continue from."""
    file = config.directory / "checkpoint.pt"
    for name, network in recipe.networks.items():
        checkpoint.load_weights(network, saved["networks"][name], file, f"the {name}")
    for name, optimizer in recipe.optimizers.items():
        optimizer.load_state_dict(saved["optimizers"][name])
    if ema is not None:
        ema.load_state_dict(saved["ema"])
    return saved["step"]


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


def _anywhere(fabric, flag: bool) -> bool:
    """Whether ``flag`` is set in any process: all of them must stop at the same step."""
    if fabric.world_size == 1:
        return flag
    return bool(fabric.all_reduce(torch.tensor(float(flag)), reduce_op="sum") > 0)
