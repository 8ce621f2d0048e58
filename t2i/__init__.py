"""t2i: the text-to-image GAN line from Char-CNN-RNN and GAN-CLS to MSMT-GAN, as a course and a package.

``t2i.load(folder)`` is a finished run, ``t2i.fit(config)`` trains one, ``t2i.evaluate(run)`` measures it, and
``t2i.released.load(name)`` is one of the trained models that come with the course. They are imported when they are
first asked for, so that ``import t2i`` costs nothing.

>>> import t2i
>>> birds = t2i.released.load("attngan-aviary").sample(["a red bird", "a blue bird"], count=4)
>>> birds.shape, birds.dtype  # four for each caption; they can be looked at as they are
(torch.Size([8, 3, 32, 32]), torch.uint8)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Run", "evaluate", "fit", "load", "released"]

if TYPE_CHECKING:
    from t2i import released
    from t2i.metrics.evaluate import evaluate
    from t2i.training import Run, fit

    load = Run.load

_HOMES = {"Run": "t2i.training", "fit": "t2i.training", "evaluate": "t2i.metrics.evaluate"}


def __getattr__(name: str):
    if name == "load":
        return __getattr__("Run").load
    if name == "released":
        return import_module("t2i.released")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
