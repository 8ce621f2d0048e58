"""Figures have the course's style for themselves."""

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from t2i import plots

PICTURES = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
LOG = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})
FIGURES = {
    "captioned": lambda: plots.captioned(PICTURES, ["a", "b"]),
    "curves": lambda: plots.curves(LOG, {"loss": ["loss"]}),
    "word_maps": lambda: plots.word_maps(PICTURES[0], ["a", "bird"], torch.rand(2, 4, 4)),
}


@pytest.fixture
def settings():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield dict(matplotlib.rcParams)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_leaves_the_settings_of_others_alone(name, settings):
    colours = dict(matplotlib.colors.colorConverter.colors)
    figure = FIGURES[name]()
    assert dict(matplotlib.rcParams) == settings and matplotlib.colors.colorConverter.colors == colours
    assert figure.dpi == 80
    assert figure.number and plt.get_fignums() == []  # a notebook shows what is pyplot's, and shows it once


def test_the_style_lasts_until_the_figure_is_drawn(settings):
    figure = FIGURES["curves"]()
    (axis,) = figure.axes
    figure.canvas.draw()
    styled = {matplotlib.colors.to_hex(line.get_color()) for line in axis.get_xgridlines()}
    assert styled == {"#cccccc"} and settings["grid.color"] != ".8"


def test_style_ends_where_something_fails(settings):
    with pytest.raises(ZeroDivisionError), plots.style():
        assert matplotlib.rcParams["axes.grid"]
        _ = 1 / 0
    assert dict(matplotlib.rcParams) == settings


def test_a_lesson_asks_for_the_style_aloud(settings):
    plots.use_style()
    assert matplotlib.rcParams["axes.grid"] and matplotlib.rcParams["figure.dpi"] == 80
