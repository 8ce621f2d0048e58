"""The panel: its controls change its picture, and it is a picture where there are no widgets."""

import pytest

from t2i import panel
from t2i.errors import UserError

CAPTION = "this bird is red"


@pytest.fixture
def run(finished, tiny_stages):
    return finished(tiny_stages())


def test_what_is_looked_at(run):
    images, attention, words = panel.look(run, "this zyzzyva is red")
    assert [tuple(image.shape) for image in images] == [(3, size, size) for size in (8, 16, 32)]
    assert words == ["this", "is", "red"]  # the vocabulary lacks the other
    assert [tuple(maps.shape) for maps in attention] == [(3, 8, 8), (3, 16, 16)]


def test_every_control_draws_anew(run):
    shown = panel.Panel(run, CAPTION)
    pictures = [bytes(shown.picture.value)]
    for control, value in ((shown.seed, 1), (shown.stage, 1), (shown.word, "4 red"), (shown.caption, "a blue bird")):
        control.value = value
        pictures.append(bytes(shown.picture.value))
    assert all(picture.startswith(b"\x89PNG") for picture in pictures) and len(set(pictures)) == 5
    assert shown.word.value == "all" and "blue" in " ".join(shown.word.options)  # another caption, other words


def test_a_caption_that_cannot_be_read_leaves_the_picture_and_says_why(run):
    shown = panel.Panel(run, CAPTION)
    before = shown.picture.value
    shown.caption.value = "zyzzyva"
    assert shown.picture.value == before and "zyzzyva" in shown.note.value
    shown.caption.value = "a zyzzyva is red"
    assert shown.picture.value != before and "passed over: zyzzyva" in shown.note.value


def test_it_shows_itself_as_widget_and_as_picture(run):
    bundle = panel.Panel(run, CAPTION)._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(bundle)


def test_a_model_that_looks_at_no_words_is_refused(finished, tiny_stages):
    run = finished(tiny_stages("mtwig-ks1"))
    with pytest.raises(UserError, match=r"mtwig-ks1-aviary-smoke-s0 has no stage that looks at words.*attngan"):
        panel.Panel(run, CAPTION)
