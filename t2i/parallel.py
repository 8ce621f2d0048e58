"""Several trainings at once on one device, each in a process of its own: one small model leaves most of a GPU idle."""

import _thread
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

from t2i import config as configs
from t2i import data
from t2i.config import Config
from t2i.errors import Stopped, UserError, unforeseen
from t2i.progress import tqdm
from t2i.training import fit

LOG = "train.log"  # in the folder of a run: what its process printed
_POLL = 0.1  # seconds


def train(wanted: Iterable[Config], at_once: int, seconds: float = math.inf) -> dict[str, str]:
    """Train ``wanted``, and before them what they build on, up to ``at_once`` at a time; each run once.

    Every run is the one that :func:`t2i.training.fit` makes of its config, in the same folder, and one that was begun
    goes on. Its process gets the config and nothing else, so it computes with as many threads as a training alone.
    Returns what went wrong by the name of each run that was not finished; the others know nothing of it. After
    ``seconds``, on Ctrl-C, and where this process dies, all are stopped as Ctrl-C stops one.

    Raises :class:`UserError` for ``at_once`` below 1 and, before anything is begun, for data that are not sound.
    """
    if at_once < 1:
        raise UserError(f"--parallel {at_once} trains nothing", "Give a number from 1 on.")
    end, trainings = time.monotonic() + seconds, _Trainings(wanted, at_once)
    for config in {data.root(config): config for config in trainings.configs.values()}.values():
        data.load(config)  # drawn here, where it is absent, and not by every process
    with tqdm(total=len(trainings.configs), desc=f"training, {at_once} at once", unit="run") as bar:
        try:
            while trainings.left and time.monotonic() < end:
                trainings.begin()
                trainings.collect()
                bar.set_postfix_str(", ".join(trainings.running), refresh=False)
                bar.update(bar.total - trainings.left - bar.n)
                time.sleep(_POLL)
        except KeyboardInterrupt:
            trainings.stop()
            raise Stopped("All trainings are stopped; the same command goes on from there.") from None
        finally:
            trainings.stop()
    return trainings.wrong | dict.fromkeys(trainings.unfinished, unfinished(seconds))


def unfinished(seconds: float) -> str:
    """What :func:`train` says of a run that it stopped."""
    return f"not finished after {seconds:.0f} seconds"


class _Trainings:
    """Runs by name: those that ``wait``, what each of them builds on, those that are ``running``, and what went
    ``wrong`` with others."""

    def __init__(self, wanted: Iterable[Config], at_once: int):
        self.at_once = at_once
        self.configs: dict[str, Config] = {}
        self.needs: dict[str, list[str]] = {}
        for config in wanted:
            self._add(config)
        self.waiting = list(self.configs)
        self.running: dict[str, subprocess.Popen] = {}
        self.wrong: dict[str, str] = {}

    def _add(self, config: Config) -> None:
        needs = [need for need in configs.needs(config).values() if isinstance(need, Config)]
        for need in needs:
            self._add(need)
        self.configs.setdefault(config.name, config)
        self.needs.setdefault(config.name, [need.name for need in needs])

    @property
    def unfinished(self) -> list[str]:
        return [*self.running, *self.waiting]

    @property
    def left(self) -> int:
        return len(self.unfinished)

    def begin(self) -> None:
        """Start what can be started, in order; give up what builds on a run that went wrong."""
        for name in list(self.waiting):
            needs = self.needs[name]
            if lost := [need for need in needs if need in self.wrong]:
                self.wrong[name] = f"it builds on {lost[0]}"
            elif len(self.running) < self.at_once and not set(needs) & set(self.unfinished):
                self.running[name] = self._process(self.configs[name])
            else:
                continue
            self.waiting.remove(name)

    def _process(self, config: Config) -> subprocess.Popen:
        """A process that trains ``config`` until its standard input is closed. It has a session of its own: a second
        Ctrl-C ends a training at once, and a terminal sends one to the whole session."""
        config.directory.mkdir(parents=True, exist_ok=True)
        with open(config.directory / LOG, "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "t2i.parallel", json.dumps(config.to_dict())],
                env=os.environ | {"TQDM_DISABLE": "1"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def collect(self) -> None:
        """Take out of ``running`` what ended, and say at once what failed."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[name]
                if process.returncode:
                    self.wrong[name] = self._reason(name, process.returncode)
                    tqdm.write(f"{name} was not trained: {self.wrong[name]}")

    def _reason(self, name: str, status: int) -> str:
        """The last line that a failed process printed: what a :class:`UserError`, or any other error, said."""
        log = self.configs[name].directory / LOG
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), f"it ended with status {status}") + f" ({log})"

    def stop(self) -> None:
        """Let every process finish its step, save and end; on Ctrl-C in the meantime, at once."""
        for process in self.running.values():
            process.stdin.close()
        try:
            for process in self.running.values():
                process.wait()
        except KeyboardInterrupt:
            for process in self.running.values():
                process.kill()
            raise
        self.running = {name: process for name, process in self.running.items() if process.returncode}


def _main(settings: str) -> int:
    """What a process does: train the config in ``settings``, JSON, and stop when the pipe from its parent is closed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs in the background

    def listen() -> None:
        os.read(sys.stdin.fileno(), 1)
        _thread.interrupt_main()  # as Ctrl-C does

    threading.Thread(target=listen, daemon=True).start()
    try:
        fit(configs.from_dict(json.loads(settings)))
    except KeyboardInterrupt as stop:
        print(stop)
        return 1
    except Exception as error:
        if not (known := unforeseen(error)):
            raise
        print(known)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
