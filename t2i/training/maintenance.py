"""What happens between the steps of a run: the log, the sheet of samples, the checkpoint."""

import math
import time
from typing import TYPE_CHECKING

import torch

from t2i import checkpoint, log
from t2i.errors import UserError
from t2i.progress import tqdm

if TYPE_CHECKING:
    from t2i.training.loop import Training

PROBE_STEPS = 20


class Maintenance:
    """Called after every step with its number, from 1 on; each thing has its interval in the config."""

    def __init__(self, training: "Training", bar: tqdm):
        self.training, self.recipe, self.config, self.bar = training, training.recipe, training.config, bar
        self.main = self.recipe.fabric.is_global_zero
        self.began, self.sums, self.count, self.good = time.perf_counter(), {}, 0, training.start
        if self.main:
            self.log = log.Log(training.directory / "stats.jsonl", training.start)
            if training.start == 0:
                self.save(0)

    def __call__(self, step: int, losses: dict, last: bool) -> None:
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0) + loss.detach()
        self.count += 1
        finished = step == self.training.total
        saved = step % self.config.checkpoint_every == 0 or last or finished
        if step % self.config.log_every == 0 or saved:
            self.write(step)
        if not self.main:
            return
        drawn = step % self.config.sample_every == 0 or finished
        average = self.training.average
        if average is not None and (drawn or saved) and self.config.batch_norm_statistics == "measured":
            self.recipe.recalibrate(average.module)
        if drawn:
            file = self.training.directory / "samples" / f"step_{step:07d}.png"
            self.recipe.preview(average and average.module, file)
            if measured := self.recipe.validate():
                self.log.write(step=step, **measured)
        if saved:
            self.save(step)
        if step - self.training.start == PROBE_STEPS:
            self.estimate()

    def write(self, step: int) -> None:
        """Averages since the last line; a loss that is no number ends the run here, before anything is saved."""
        means = {name: float(total) / self.count for name, total in self.sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                self.refuse(f"{name} became {value}", step)
        if self.main:
            self.log.write(step=step, seconds=round(self.seconds(), 2), **means)
            self.bar.set_postfix({name: f"{value:.3g}" for name, value in means.items()}, refresh=False)
        self.sums, self.count = {}, 0

    def save(self, step: int) -> None:
        if any(not torch.isfinite(p).all() for network in self.recipe.networks.values() for p in network.parameters()):
            self.refuse("a weight is no longer a finite number", step)
        checkpoint.save(self.training.directory / "checkpoint.pt", self.state(step))
        self.good = step

    def seconds(self) -> float:
        """Of training so far, in all parts of the run."""
        return self.training.seconds + time.perf_counter() - self.began

    def state(self, step: int) -> checkpoint.State:
        """Everything that the run is."""
        training, recipe = self.training, self.recipe
        return checkpoint.State(
            config=self.config.to_dict(),
            asked=training.asked,
            objective=recipe.objective_name,
            data=training.data,
            step=step,
            finished=step == training.total,
            seconds=self.seconds(),
            networks={name: network.state_dict() for name, network in recipe.networks.items()},
            average=None if training.average is None else training.average.module.state_dict(),
            optimizers={name: optimizer.state_dict() for name, optimizer in recipe.optimizers.items()},
            extras=training.kept | recipe.extras(),
        )

    def refuse(self, what: str, step: int) -> None:
        kept = f"the last good state, step {self.good}, is kept in {self.training.directory / 'checkpoint.pt'}"
        mend = "Lower --learning-rate or try another --seed; the curve in stats.jsonl shows where it began."
        raise UserError(f"{self.config.name}: {what} by step {step}; {kept}", mend)

    def estimate(self) -> None:
        """Say how long the run will take, from its first steps."""
        steps = self.training.total - PROBE_STEPS - self.training.start
        left = (time.perf_counter() - self.began) / PROBE_STEPS * steps
        if left > 600:
            time_left = f"{left / 60:.0f} minutes" if left < 7200 else f"{left / 3600:.0f} hours"
            self.bar.write(f"{self.config.name}: about {time_left} to go, by the first {PROBE_STEPS} steps")
