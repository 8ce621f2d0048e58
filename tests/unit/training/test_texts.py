"""What a training says of captions that its encoder does not read as they stand."""

import pytest

from t2i import config as configs
from t2i.data import folder
from t2i.errors import UserError
from t2i.training import fit
from t2i.training.texts import say_what_is_lost


def test_every_kind_of_loss_is_said_once(capsys):
    captions = [["a boat " * 40, "a boat"], ["ein Käfer 🐞", "un café"]]
    say_what_is_lost(captions, words=False)
    say_what_is_lost(captions, words=True)
    assert capsys.readouterr().out.splitlines() == [
        "note: 1 of 4 captions is longer than the 201 characters that are read",
        "note: 2 of 4 captions are written with characters that are read as blanks (ä, 🐞, é)",
        "note: 2 of 4 captions are written with words or signs that are not read so (käfer, 🐞, café)",
    ]
    say_what_is_lost([["a red bird, isn't it?"]], words=False)
    say_what_is_lost([["a red bird, isn't it?"]], words=True)
    assert capsys.readouterr().out == ""


@pytest.fixture
def own(tmp_path, draw_picture, monkeypatch):
    """``own(caption)`` is the folder of six pictures of which one has this caption."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))

    def prepared(caption):
        lines = ["file,caption,split"]
        for k in range(6):
            draw_picture(tmp_path / "photos" / f"{k}.png", 40, 40, seed=k)
            lines.append(f"{k}.png,{caption if k == 0 else 'a boat'},{'test' if k > 3 else 'train'}")
        (tmp_path / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
        folder.prepare(tmp_path / "photos", tmp_path / "captions.csv", tmp_path / "boats")
        return str(tmp_path / "boats")

    return prepared


@pytest.mark.parametrize("model", ["char-cnn-rnn", "damsm"])
@pytest.mark.parametrize("caption", ["一只红鸟", "🚤🚤", "\u200b\u2060"])
def test_a_caption_of_which_nothing_is_read_stops_every_training_by_name(own, model, caption):
    with pytest.raises(UserError) as caught:
        fit(configs.load(model, own(caption), "smoke", steps=1))
    assert repr(caption) in caught.value.problem and "read" in caught.value.problem


def test_a_training_notes_what_it_does_not_read(own, capsys):
    fit(configs.load("char-cnn-rnn", own("a boat " * 40 + "für mich"), "smoke", steps=1))
    assert "note: 1 of 4 captions is longer than the 201 characters that are read" in capsys.readouterr().out
