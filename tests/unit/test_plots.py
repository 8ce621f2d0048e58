"""Figures have the course's style for themselves."""

from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
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


def test_a_figure_says_what_it_shows():
    said = {name: plots.alt(make()) for name, make in FIGURES.items()}
    assert said == {
        "captioned": "Rows of 2 pictures: a; b",
        "curves": "Curves over 3 steps: loss from 3 to 1",
        "word_maps": "A picture, and where in it each word was looked up: a bird",
    }


def test_a_figure_of_a_lesson_is_described_by_what_can_be_read_in_it():
    figure, axes = plt.subplots(1, 2)
    plt.close(figure)
    axes[1].imshow([[1]])
    assert plots.alt(figure) == "1 pictures without a description"
    axes[0].plot([1, 2], label="real")
    axes[0].set(title="what D\nthinks", ylabel="score", xlabel="step")
    assert plots.alt(figure) == "Figure; what D thinks score over step real"
    assert plots.alt(plots.describe(figure, "two curves")) == "two curves"


SEEN = {  # Machado, Oliveira and Fernandes (IEEE TVCG 2009), severity 1: linear RGB as it is seen
    "by all cones": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    value = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    white = XYZ.sum(axis=1)
    x, y, z = np.cbrt(np.maximum(XYZ @ np.clip(rgb, 0, 1) / white, 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours, eyes):
    """The least distance (CIE 1976) between two of ``colours`` as these eyes see them."""
    seen = [lab(np.array(SEEN[eyes]) @ linear(colour)) for colour in colours]
    return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_stay_apart_for_everyone(eyes):
    assert nearest(plots.COLOURS, eyes) > 30
    deep = "#4C72B0", "#DD8452", "#55A868", "#C44E52", "#8172B3"  # seaborn's, in which no such care was taken
    assert eyes == "by all cones" or nearest(deep, eyes) < 20


@pytest.mark.parametrize("colour", plots.COLOURS)
def test_colours_can_be_seen_on_white(colour):
    assert 1.05 / (XYZ[1] @ linear(colour) + 0.05) >= 3  # WCAG 2.2, 1.4.11


def test_lines_differ_in_style_too(settings):
    log = LOG.assign(second=2.0, third=1.5)
    (axis,) = plots.curves(log, {"loss": ["loss", "second", "third"]}).axes
    assert [line.get_linestyle() for line in axis.lines] == ["-", "--", "-."]
    assert [line.get_color() for line in axis.lines] == list(plots.COLOURS[:3])
