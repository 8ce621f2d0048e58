import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i.errors import UserError
from t2i.text.characters import ALPHABET, characters, nothing_read, unread

GOLDEN_TEXTS = [
    "this bird has a yellow crown, black eye-rings and a white belly - it's small!",
    "The FLOWER has 5 purple petals; yellow stamen @ center (very nice) " + "x" * 200,
    "a",
]


def test_characters_of_the_golden_texts():
    symbols = characters(GOLDEN_TEXTS)
    one_hot = torch.nn.functional.one_hot(symbols, 71)[..., 1:].transpose(1, 2)
    assert one_hot.shape == (3, 70, 201)
    assert one_hot.sum() == 279


def test_alphabet_quirks():
    assert len(ALPHABET) == 70
    assert characters(["a-z 0"])[0, :5].tolist() == [1, 60, 26, 70, 27]
    assert not (characters([ALPHABET]) == 37).any()


def test_characters_of_the_port_and_of_reed():
    assert characters(["Aé"])[0, :3].tolist() == [1, 70, 0]
    assert characters(["Aéb"], lowercase=False, unknown="")[0, :3].tolist() == [0, 0, 2]


def test_a_thousand_words_are_cut_and_a_blank_text_is_refused():
    assert (characters(["word " * 1000]) > 0).sum() == 201
    with pytest.raises(UserError, match=r"The caption '  ' is blank\. Write at least one word"):
        characters(["a bird", "  "])


@pytest.mark.parametrize(
    "text",
    [
        "一只红鸟",
        "😀😀",
        "\u200b\u2060",
        "птица",
        "鳥, 赤。",
        "鳥" * 201 + " a bird",
        " " * 201 + "a bird",
        "ａｂｃ",
        "é",
    ],
)
def test_a_text_of_which_nothing_is_read_is_refused_by_name(text):
    with pytest.raises(UserError, match="nothing is read") as caught:
        characters(["a bird", text])
    assert repr(text)[:20] in caught.value.problem and len(caught.value.problem) < 200


def test_what_is_not_read_is_named_in_its_order():
    assert unread("a café – «ö» é\tb\u200b\n") == ["é", "–", "«", "ö", "»", "\u200b"]
    assert unread("x" * 201 + "é") == [] and unread(ALPHABET) == []


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=230))
def test_any_caption_is_read_or_refused_in_one_sentence(text):
    try:
        symbols = characters([text])[0]
    except UserError as error:
        assert not any(symbol in ALPHABET[:36] for symbol in text.lower()[:201]) and "\n" not in error.problem
    else:
        assert not nothing_read(text.lower()) and (symbols > 0).sum() == min(201, len(text.lower()))
