"""The panel: its controls change its picture, and it is a picture where there are no widgets."""

import base64
import io
import re

import pytest
import torch
from PIL import Image

from t2i import panel, released
from t2i.errors import UserError
from t2i.notebook import CAPTIONS
from t2i.text import TextFeatures

CAPTION = "this bird is red"


@pytest.fixture
def run(finished, tiny_stages):
    return finished(tiny_stages())


@pytest.fixture
def without_words(finished, tiny):
    return finished(tiny())


@pytest.fixture(autouse=True)
def _none_released(monkeypatch):
    monkeypatch.setattr(released, "NAMES", ())


def test_what_is_looked_at(run):
    images, attention, words = panel.look(run, "this zyzzyva is red")
    assert [tuple(image.shape) for image in images] == [(3, size, size) for size in (8, 16, 32)]
    assert words == ["this", "is", "red"]  # the vocabulary lacks the other
    assert [tuple(maps.shape) for maps in attention] == [(3, 8, 8), (3, 16, 16)]


def test_only_a_model_that_looks_at_words_can_be_looked_into(without_words):
    with pytest.raises(UserError, match=r"gan-cls-aviary-smoke-s0 has no stage that looks at words.*attngan"):
        panel.look(without_words, CAPTION)


def test_every_control_draws_anew(run):
    shown = panel.Panel(run, CAPTION)
    pictures = [shown.picture.value]
    changes = (
        (shown.seed, 1),
        (shown.noise, 0.5),
        (shown.stage, 1),
        (shown.word, "4 red"),
        (shown.caption, "a blue bird"),
        (shown.second, "a large red bird"),
        (shown.way, 0.75),
        (shown.shuffle, True),
    )
    for control, value in changes:
        control.value = value
        pictures.append(shown.picture.value)
    assert len(set(pictures)) == 1 + len(changes)
    assert shown.word.value == "all" and "large" in " ".join(shown.word.options)  # another caption, other words


def test_every_picture_has_a_description(run):
    shown = panel.Panel(run, CAPTION)
    shown.second.value, shown.shuffle.value = "a blue bird", True
    pictures = re.findall(r"<img [^>]*>", shown.picture.value)
    assert len(pictures) == 1 + 4 + panel.WALK + 2 * panel.OTHERS
    assert all(re.search('alt="[^"]{10,}"', picture) for picture in pictures)
    assert "attngan-aviary-smoke-s0 draws: this bird is red" in shown.picture.value


def test_the_stage_that_reads_no_words_shows_none(run):
    shown = panel.Panel(run, CAPTION)
    assert shown.stage.value == 2 and shown.word.options == ("all", "1 this", "2 bird", "3 is", "4 red")
    shown.stage.value = 0
    assert shown.word.disabled and shown.word.options == ("all",) and "looked up" not in shown.picture.value


def test_a_caption_that_cannot_be_read_leaves_the_picture_and_says_why(run):
    shown = panel.Panel(run, CAPTION)
    before = shown.picture.value
    shown.caption.value = "zyzzyva"
    assert shown.picture.value == before and "zyzzyva" in shown.note.value and "t2i-busy" in shown.widget._dom_classes
    shown.caption.value = "a zyzzyva <b> is red"
    assert shown.picture.value != before and "passed over: zyzzyva, b" in shown.note.value
    assert "<b>" not in shown.picture.value and "t2i-busy" not in shown.widget._dom_classes


@pytest.mark.parametrize("name", ["run", "without_words"])
def test_a_walk_begins_and_ends_with_what_the_captions_draw(request, name):
    run = request.getfixturevalue(name)
    captions, noise = [CAPTION, "a large blue bird with a white belly"], run.noise(1, 3)
    walked = panel.walk(run, *captions, torch.tensor([0.0, 0.3, 1.0]), *noise).images[-1]
    for picture, caption in ((walked[0], captions[0]), (walked[2], captions[1])):
        alone = run.draw([caption], *noise).images[-1][0]
        assert (picture.int() - alone.int()).abs().max() <= 1  # rounding, of a batch of another size
    assert (walked[1] != walked[0]).any() and (walked[1] != walked[2]).any()


def test_words_go_to_those_at_the_same_place():
    words = torch.tensor([[[0.0, 4.0, 0.0]], [[10.0, 20.0, 30.0]]])
    mask = torch.tensor([[False, False, True], [False, False, False]])
    mixed, padding = panel.words_between(TextFeatures(words, words[:, :, 0], mask), torch.tensor([0.0, 0.5, 0.75, 1.0]))
    assert mixed[:, 0].tolist() == [[0, 4, 0], [5, 17, 0], [7.5, 15, 23.5], [10, 20, 30]]
    assert padding.tolist() == [[False, False, True]] * 2 + [[False] * 3] * 2


def test_a_walk_is_offered_with_a_second_caption_only(run):
    shown = panel.Panel(run, CAPTION)
    assert shown.way.disabled and "straight" not in shown.note.value
    shown.second.value = "a blue bird"
    assert not shown.way.disabled and "every word" in shown.note.value
    shown.second.value = " "
    assert shown.way.disabled and "straight" not in shown.note.value


def test_shuffle_weighs_the_caption_against_the_noise(run):
    found = panel.shuffled(run, CAPTION, seed=1)
    plain = run.sample([CAPTION], seed=1).float()
    assert found.captions == list(CAPTIONS) and len(found.by_caption) == len(found.by_noise) == panel.OTHERS
    assert found.caption_change == pytest.approx((found.by_caption - plain).abs().mean().item(), abs=0.2)
    assert found.share == found.caption_change / (found.caption_change + found.noise_change)
    still = panel.shuffled(run, CAPTION, seed=1, noise=0.0)
    assert still.noise_change < 0.01 and still.share > 0.9  # without noise all that changes is the caption's


def test_without_birds_other_captions_are_words_of_the_vocabulary(run, monkeypatch):
    monkeypatch.setattr(panel, "captions_for", lambda name: ("a brigantine at anchor",))
    captions = panel.other_captions(run, seed=0)
    assert len(set(captions)) == panel.OTHERS and not run.encoder.vocabulary.unknown(" ".join(captions))


def test_a_model_that_reads_no_words_is_shown_without_them(without_words):
    shown = panel.Panel(without_words, CAPTION)
    assert shown.word.disabled and shown.word.options == ("all",) and len(shown.stage.options) == 1
    before = shown.picture.value
    shown.second.value, shown.way.value = "a blue bird with a long tail", 1.0
    assert shown.picture.value != before and "The sentence&#x27;s vector goes straight" in shown.note.value


def test_released_models_are_read_when_they_are_chosen(run, without_words, monkeypatch):
    read = []
    monkeypatch.setattr(released, "NAMES", ("attndm-gan-aviary", "attngan-aviary", "gan-cls-aviary"))
    monkeypatch.setattr(released, "load", lambda name: read.append(name) or run)
    shown, models = panel.Panel(), ("attngan-aviary", "attndm-gan-aviary", "gan-cls-aviary")
    assert shown.model.options == models and read == ["attngan-aviary"]
    assert shown.caption.value == panel.CAPTION
    mine = panel.Panel(without_words, CAPTION)
    assert mine.model.options == ("gan-cls-aviary-smoke-s0", *models) and len(read) == 1
    mine.model.value = "attngan-aviary"
    assert len(read) == 2 and len(mine.stage.options) == 3 and "attngan-aviary draws" in mine.picture.value


def test_without_any_model_it_says_what_to_give():
    with pytest.raises(UserError, match=r"No trained model comes with this checkout\. Give the panel a run"):
        panel.Panel()


def test_it_shows_the_widget_and_keeps_a_picture_that_follows_it(run, monkeypatch):
    outputs, updates = [], []

    class Handle:
        def update(self, bundle, **options):
            updates.append((bundle, options))

    monkeypatch.setattr(panel, "display", lambda shown, **options: outputs.append((shown, options)) or Handle())
    shown = panel.Panel(run, CAPTION)
    shown._ipython_display_()
    (widget, _), (bundle, options) = outputs
    assert widget is shown.widget and set(bundle) == {"text/html", "image/png", "text/plain"}
    assert (
        options["metadata"]["image/png"]["alt"] == bundle["text/plain"] == f"attngan-aviary-smoke-s0 draws: {CAPTION}"
    )
    assert shown.rows[0].tiles[0].picture.shape == (3, 32, 32) and "<script" not in bundle["text/html"]
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))) as picture:
        corner = torch.tensor(picture.getpixel((2, 20)))
    assert corner.tolist() == shown.rows[0].tiles[0].picture[:, 0, 0].tolist()  # under the line of the caption
    shown.seed.value = 5
    assert len(updates) == 1 and updates[0][0]["image/png"] != bundle["image/png"] and updates[0][1]["raw"]
