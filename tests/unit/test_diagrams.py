"""Diagrams say what they are given, leave nothing outside, and refuse what does not fit together."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from t2i import diagrams

BOXES = {
    "noise": (0, 0, "noise $z$", "100", "data"),
    "phi": (0, 1, "sentence", "1,024", "frozen"),
    "join": (1, 0.5, "side by side", "228", "step"),
    "judge": (2, 0.5, "discriminator", "1 logit", "discriminator"),
}
ARROWS = ["noise > join > judge", "phi > join: 128", "phi v> judge: copied"]


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_diagram_shows_names_shapes_labels_groups_and_the_legend():
    figure = diagrams.draw(BOXES, ARROWS, groups={"generator": ["join"]})
    shown = words(figure)
    assert {"noise $z$", "1,024", "side by side", "1 logit", "128", "copied", "generator"} <= set(shown)
    assert {"data", "trained before, frozen", "without weights"} <= set(shown) and "loss" not in shown
    assert plt.get_fignums() == []


def test_every_box_and_every_word_lies_inside_the_figure():
    figure = diagrams.draw(BOXES, [*ARROWS, "phi v~> judge: again", "noise ^> judge"], {"generator": ["join", "judge"]})
    renderer = FigureCanvasAgg(figure).get_renderer()
    for artist in [*figure.axes[0].patches, *figure.axes[0].texts]:
        box = artist.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1


def test_words_fit_into_their_boxes():
    figure = diagrams.draw(BOXES, ARROWS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in figure.axes[0].patches[: len(BOXES)]]
    written = reversed(figure.axes[0].texts)  # the legend, which comes last, may repeat a name
    names = {text.get_text(): text.get_window_extent(renderer) for text in written}
    for box, (_, _, name, shape, _) in zip(boxes, BOXES.values(), strict=True):
        for line in (name, shape):
            assert box.x0 <= names[line].x0 and names[line].x1 <= box.x1


def test_arrows_are_chains():
    found = list(diagrams._arrows(["a > b ~> c: read", "c ^> a", "a v~> c"], dict.fromkeys("abc")))
    assert found == [("a", ">", "b", ""), ("b", "~>", "c", "read"), ("c", "^>", "a", ""), ("a", "v~>", "c", "")]


@pytest.mark.parametrize(
    ("boxes", "arrows", "sentence"),
    [
        (BOXES, ["noise > nobody"], "there is no box 'nobody'"),
        (BOXES | {"again": (2, 0.5, "x", "", "data")}, [], "'judge' and 'again' stand in one place"),
        (BOXES | {"odd": (3, 0, "x", "", "magic")}, [], "kind 'magic' is none of"),
    ],
)
def test_what_does_not_fit_together_is_refused(boxes, arrows, sentence):
    with pytest.raises(ValueError, match=sentence):
        diagrams.draw(boxes, arrows)
