import pytest
import torch

from t2i.errors import UserError
from t2i.text.characters import ALPHABET, characters

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
