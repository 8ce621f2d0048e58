"""What every lesson uses: a banner, source code by reflection, and small tables."""

from __future__ import annotations

import functools
import inspect
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import nn

from t2i import __version__, device, plots
from t2i import config as configs
from t2i.config import Config
from t2i.models.blocks import parameter_count
from t2i.provenance import hardware

if TYPE_CHECKING:
    from IPython.display import Markdown

# Every lesson draws pictures for these, so that its models can be compared by eye; what has learned flowers, for the
# others.
CAPTIONS = (
    "this red bird has a white belly and a short black bill",
    "a small blue bird with orange wings and a yellow crown",
    "this bird is mostly black in color with white wings and a long orange beak",
    "the body of this large bird is green and it has a red crown",
    "a yellow bird with gray wings, a black crown and wing bars",
    "this bird has a brown body, a white belly and a long tail",
)
FLOWER_CAPTIONS = (
    "this flower has bright yellow petals around a brown center",
    "the petals of this flower are white and its stamen is yellow",
    "a flower with large pink petals that are lighter at the edges",
    "this flower is purple and has many long, thin petals",
    "the flower has red petals with a ruffled edge",
    "this orange flower has dark spots on its petals",
)

_began = time.perf_counter()


def captions_for(data_name: str) -> tuple[str, ...]:
    """Six captions for the sheets of a model that was trained on the data set ``data_name``."""
    return FLOWER_CAPTIONS if data_name == "flowers" else CAPTIONS


def banner(profile: str, dataset: str, seed: int) -> None:
    """Print what this lesson runs with, one line each for versions, settings and machine, and give its figures the
    course's style, and descriptions."""
    global _began
    _began = time.perf_counter()
    plots.use_style()
    _describe_figures()
    print(f"t2i {__version__} · torch {torch.__version__} · profile {profile} · data set {dataset} · seed {seed}")
    print(f"{hardware()['device']} · {device.precision_reason('32-true')}")


def _describe_figures() -> None:
    """Let a kernel put :func:`t2i.plots.alt` beside every figure that it shows, where saved pages look for it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None:
        return
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    pyplot.switch_backend(matplotlib.get_backend())  # tells the kernel how to draw figures, which it else learns later
    formatter = shell.display_formatter.formatters["image/png"]
    if draw := formatter.for_type(Figure):
        draw = getattr(draw, "__wrapped__", draw)  # where the banner is shown a second time

        @functools.wraps(draw)
        def described(figure: Figure):
            drawn = draw(figure)
            picture, metadata = drawn if isinstance(drawn, tuple) else (drawn, {})
            return picture, metadata | {"alt": plots.alt(figure)}

        formatter.for_type(Figure, described)


def closing(profile: str, then: str) -> None:
    """Print how long the lesson took from its banner on, and what comes ``then``: where Run All ends."""
    print(f"This lesson took {time.perf_counter() - _began:.0f} s under {profile}. Next: {then}")


def show(*things) -> Markdown:
    """The source of classes or functions of the package, as it runs (Markdown: a tenth of the size of colored HTML)."""
    from IPython.display import Markdown  # here, because recording runs needs no Jupyter

    sources = (textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in things)
    return Markdown("\n\n".join(f"```python\n{source}\n```" for source in sources))


def scaled(config: Config) -> pd.DataFrame:
    """What this profile changes of the paper's setting."""
    rows = configs.difference(config)
    return pd.DataFrame(rows, columns=["setting", "paper", config.profile]).set_index("setting")


def parameters(module: nn.Module) -> pd.DataFrame:
    """Parameters of each child of ``module`` and their sum."""
    rows = {name: parameter_count(child) for name, child in module.named_children()}
    return pd.DataFrame({"parameters": {**rows, "total": parameter_count(module)}}).map("{:,}".format)
