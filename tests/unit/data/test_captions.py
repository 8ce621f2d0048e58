import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i.data.captions import Vocabulary, lost, pad, read_lines, tokenise
from t2i.errors import UserError


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        (
            "This bird's WINGS are gray-brown, 2 bars!",
            ["this", "bird", "s", "wings", "are", "gray", "brown", "2", "bars"],
        ),
        ("a\ufffd\ufffdblack bill", ["a", "black", "bill"]),
        ("café ö naïve", ["caf", "nave"]),
        ("under_score", ["under_score"]),
        ("?!", []),
    ],
)
def test_tokenise_has_the_official_quirks(caption, words):
    assert tokenise(caption) == words


@pytest.mark.parametrize(
    ("caption", "missing"),
    [
        ("a red bird, isn't it? 100 % – «so»", []),
        ("a café bird at a café", ["café"]),
        ("красная bird 🐦 a 鳥", ["красная", "鳥", "🐦"]),
        ("a\ufffd\ufffdblack bill", []),
    ],
)
def test_what_is_lost_of_a_caption_is_named(caption, missing):
    assert lost(caption) == missing


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_any_caption_becomes_ascii_words_and_what_is_lost_of_it_is_named(caption):
    words = tokenise(caption)
    assert all(word and word.isascii() for word in words)
    if any(symbol.isalpha() and not symbol.isascii() for symbol in caption.lower()):
        assert lost(caption)


def test_read_lines_drops_blank_ones_and_carriage_returns():
    assert read_lines("a bird\r\n\r\n  \n two birds ") == ["a bird", "two birds"]


def test_vocabulary_numbers_words_from_one_in_first_seen_order():
    vocabulary = Vocabulary.build(["a red bird", "a blue bird"])
    assert vocabulary.words == ["<end>", "a", "red", "bird", "blue"]
    assert len(vocabulary) == 5
    assert vocabulary.encode("Blue, blue bird") == [4, 4, 3]


def test_vocabulary_drops_unknown_words_and_lists_them():
    vocabulary = Vocabulary.build(["a red bird"])
    assert vocabulary.encode("a zebra bird") == [1, 3]
    assert vocabulary.unknown("a zebra bird, quite") == ["zebra", "quite"]


@pytest.mark.parametrize("caption", ["", "  ", "...", "zebra"])
def test_a_caption_without_known_words_is_quoted(caption):
    with pytest.raises(UserError, match="holds no word of the vocabulary") as caught:
        Vocabulary.build(["a red bird"]).encode(caption)
    assert repr(caption) in caught.value.problem
    assert "such as: a, red, bird" in caught.value.mend


def test_a_long_caption_is_quoted_in_short():
    with pytest.raises(UserError) as caught:
        Vocabulary.build(["a"]).encode("zebra " * 1000)
    assert len(str(caught.value)) < 300


def test_pad_keeps_short_captions_and_a_sorted_subset_of_long_ones():
    ids, lengths = pad([[5, 6], list(range(1, 1001))], words=18, rng=np.random.default_rng(0))
    assert ids.dtype == torch.int64
    assert ids.shape == (2, 18)
    assert lengths.tolist() == [2, 18]
    assert ids[0].tolist() == [5, 6] + [0] * 16
    long = ids[1].tolist()
    assert long == sorted(set(long))  # positions in order, none twice
    assert max(long) > 100  # not simply the first 18


def test_pad_is_a_function_of_its_generator():
    captions = [list(range(1, 60))]
    first, again, other = (pad(captions, 10, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
