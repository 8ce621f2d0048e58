import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i.data.names import Files
from t2i.errors import UserError

THERE = "sub/Käfer 1.png", "sub/tief/b.JPG", "a.png", "100%.png"


@pytest.fixture
def images(tmp_path):
    for name in THERE:
        path = tmp_path / "images" / unicodedata.normalize("NFC", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a.png", "a.png"),
        ("./a.png", "a.png"),
        (".\\a.png", "a.png"),
        ("sub\\Käfer 1.png", "sub/Käfer 1.png"),
        ("SUB\\TIEF\\B.jpg", "sub/tief/b.JPG"),
        ("sub//tief/../tief/b.JPG", "sub/tief/b.JPG"),
        (" sub / Käfer 1.png ", "sub/Käfer 1.png"),
        (unicodedata.normalize("NFD", "sub/Käfer 1.png"), "sub/Käfer 1.png"),
        (unicodedata.normalize("NFD", "sub\\käfer 1.PNG"), "sub/Käfer 1.png"),
        ("sub/K%C3%A4fer%201.png", "sub/Käfer 1.png"),
        ("sub/Käfer\u00a01.png", "sub/Käfer 1.png"),
        ("\ufeffa.png\u200b", "a.png"),
        ("100%.png", "100%.png"),
        ("100%25.png", "100%.png"),
    ],
)
def test_a_name_is_found_however_it_is_spelled(images, asked, found):
    assert Files(images).find(asked) == found


def test_a_composed_name_finds_a_decomposed_file(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Käfer.png")
    (tmp_path / decomposed).touch()
    assert Files(tmp_path).find("Käfer.png") == decomposed


def test_absolute_names_and_file_urls_below_the_folder(images):
    files = Files(images)
    assert files.find(str(images / "a.png")) == "a.png"
    assert files.find(f"file://{images}/sub/K%C3%A4fer%201.png") == "sub/Käfer 1.png"


def test_of_two_that_are_alike_the_exact_one_is_taken_and_otherwise_none(tmp_path):
    for name in ("A.png", "a.png"):
        (tmp_path / name).write_text(name)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this disk does not tell case")
    files = Files(tmp_path)
    assert (files.find("a.png"), files.find("A.png")) == ("a.png", "A.png")
    with pytest.raises(UserError, match=r"a\.PNG is missing, and A\.png and a\.png are both like it"):
        files.find("a.PNG")


@pytest.mark.parametrize(
    ("asked", "close"),
    [("b.JPG", "sub/tief/b.JPG"), ("a.jpeg", "a.png"), ("sub/Kafer 1.png", "sub/Käfer 1.png"), ("aa.png", "a.png")],
)
def test_what_is_not_there_is_named_with_the_closest(images, asked, close):
    with pytest.raises(UserError, match="is missing") as caught:
        Files(images).find(asked)
    assert f"closest to it are {close}" in caught.value.mend


def test_folders_broken_links_and_empty_places_are_no_images(images, tmp_path):
    (images / "gone.png").symlink_to(tmp_path / "nowhere.png")
    for name in ("sub", "sub/", ".", "..", "gone.png", "x" * 300, "a\0b"):
        with pytest.raises(UserError):
            Files(images).find(name)
    with pytest.raises(UserError) as caught:
        Files(tmp_path / "empty").find("a.png")
    assert "holds no file at all" in caught.value.mend


def test_links_have_the_name_of_what_was_found_first(images):
    (images / "link.png").symlink_to(images / "a.png")
    (images / "again").symlink_to(images / "sub")
    files = Files(images)
    assert [files.find(name) for name in ("a.png", "link.png")] == ["a.png"] * 2
    assert [files.find(name) for name in ("again/tief/b.JPG", "sub/tief/b.JPG")] == ["again/tief/b.JPG"] * 2


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=20))
def test_any_name_is_a_file_or_one_sentence(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "any names"
    folder.mkdir(exist_ok=True)
    (folder / "a.png").touch()
    try:
        assert (folder / Files(folder).find(name)).is_file()
    except UserError as error:
        assert "is missing" in error.problem
