"""A run in a process of its own that can be killed at a chosen moment: at its n-th opening, renaming or removing of a
file, or some microseconds later."""

import os
import sys
import time
from pathlib import Path

from t2i import config as configs
from t2i.training import fit

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def run(values: dict, directory: Path, data: Path, moment: int | None, channel) -> None:
    """Train ``values`` in ``directory``, with the cache in ``data``; tell of the event number ``moment`` through
    ``channel``, or at the end of how many there were."""
    os.environ["T2I_DATA"] = str(data)
    places, count = (str(directory), str(data)), 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in EVENTS and isinstance(arguments[0], str) and arguments[0].startswith(places):
            count += 1
            if count == moment:
                channel.send(count)
                time.sleep(0)  # the parent decides when it is over

    sys.addaudithook(watch)
    fit(configs.from_dict(values), directory=directory)
    channel.send(-count)
