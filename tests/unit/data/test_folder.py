import json

import pytest

from t2i.data import folder
from t2i.errors import UserError


@pytest.fixture
def pictures(tmp_path, draw_picture):
    """Forty images below ``pictures/``."""
    for number in range(40):
        draw_picture(tmp_path / "pictures" / f"{number:02d}.png", 20, 20, seed=number)
    return tmp_path / "pictures"


def _table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "captions.csv"
    path.write_text(text, encoding=encoding)
    return path


def _prepare(pictures, text, **options):
    return folder.prepare(pictures, _table(pictures.parent, text, **options), pictures.parent / "out")


def test_several_rows_are_several_captions(pictures):
    index = _prepare(pictures, 'file,caption\n00.png,a cat\n01.png,"a dog, running"\n00.png,two cats\n').checked()
    assert [(example.key, example.captions) for example in index.examples] == [
        ("00.png", ("a cat", "two cats")),
        ("01.png", ("a dog, running",)),
    ]
    assert index.examples[0].image == pictures / "00.png"
    assert index.examples[0].class_id is None


def test_about_a_tenth_is_for_testing_and_stays_so(pictures):
    rows = [f"{number:02d}.png,thing {number}\n" for number in range(40)]
    small = _prepare(pictures, "file,caption\n" + "".join(rows[:30])).checked()
    large = _prepare(pictures, "file,caption\n" + "".join(rows)).checked()
    test = {example.key for example in large.split("test")}
    assert 1 <= len(test) <= 10
    assert {example.key for example in small.split("test")} == test & {f"{n:02d}.png" for n in range(30)}


def test_two_images_are_split_one_and_one(pictures):
    index = _prepare(pictures, "file,caption\n00.png,a\n01.png,b\n")
    assert (len(index.split("train")), len(index.split("test"))) == (1, 1)


def test_class_and_split_are_kept(pictures):
    text = "split,class,file,caption\ntest,dog,00.png,a\ntrain,cat,01.png,b\ntrain,,02.png,c\n"
    index = _prepare(pictures, text).checked()
    assert [(e.split, e.class_id) for e in index.examples] == [("test", 2), ("train", 1), ("train", None)]
    assert index.class_names == {1: "cat", 2: "dog"}


def test_a_byte_order_mark_and_spaces_do_no_harm(pictures):
    assert len(_prepare(pictures, "file , caption\n00.png , ein Käfer \n", encoding="utf-8-sig").examples) == 1


def test_the_folder_may_hold_its_images_and_then_be_moved(pictures):
    table = _table(pictures.parent, "file,caption\n00.png,a\n")
    folder.prepare(pictures, table, pictures.parent)
    moved = pictures.parent.rename(pictures.parent.with_name("moved"))
    assert folder.read(moved).checked().examples[0].image == moved / "pictures" / "00.png"


@pytest.mark.parametrize(
    ("header", "found", "missing"),
    [
        ("file,text", "file, text", "caption"),
        ("file;caption", "file;caption", "file or caption"),
        ("", "none", "file or caption"),
    ],
)
def test_a_csv_without_the_column_is_named(pictures, header, found, missing):
    with pytest.raises(UserError) as caught:
        _prepare(pictures, f"{header}\n00.png,a\n" if header else "")
    assert caught.value.problem == f"{pictures.parent / 'captions.csv'} has no column {missing} (found: {found})"
    assert "must name the columns file and caption" in caught.value.mend
    assert not (pictures.parent / "out").exists()


def test_a_csv_in_another_encoding_is_named(pictures):
    with pytest.raises(UserError, match=r"captions\.csv is not UTF-8") as caught:
        _prepare(pictures, "file,caption\n00.png,Käfer\n", encoding="latin-1")
    assert "Save it as UTF-8" in caught.value.mend


def test_a_csv_without_rows_or_none_at_all(pictures):
    with pytest.raises(UserError, match=r"captions\.csv holds no rows"):
        _prepare(pictures, "file,caption\n")
    with pytest.raises(UserError, match=r"gone\.csv is missing"):
        folder.prepare(pictures, pictures / "gone.csv", pictures.parent / "out")
    with pytest.raises(UserError, match="nowhere is missing"):
        folder.prepare(pictures / "nowhere", pictures.parent / "captions.csv", pictures.parent / "out")


def test_every_fault_of_a_row_is_a_problem(pictures):
    text = "file,caption,split\n00.png,a,train\n99.png,b,train\n01.png,,test\n02.png,c,valid\n,d,train\n00.png,e,test\n"
    index = _prepare(pictures, text)
    problems = [what.removeprefix(f"{pictures.parent / 'out' / 'dataset.csv'}, ") for what, _ in index.problems]
    assert problems == [
        "row 4: the caption of 01.png is empty",
        "row 5: the split of 02.png is 'valid'",
        "row 6 names no file",
        "row 7: 00.png has another class or split than in its first row",
        f"The image {pictures / '99.png'} is missing",
    ]
    assert [example.key for example in index.examples] == ["00.png"]


@pytest.mark.parametrize("name", ["dataset.json", "dataset.csv"])
def test_a_folder_that_was_not_prepared_is_named(pictures, name):
    _prepare(pictures, "file,caption\n00.png,a\n")
    (pictures.parent / "out" / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing") as caught:
        folder.read(pictures.parent / "out")
    assert "python -m t2i data prepare --dataset folder" in caught.value.mend


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "cannot be read"), ("{}", "cannot be read"), ('{"version": 9, "images": "x"}', "has version 9")],
)
def test_broken_settings_are_named(pictures, content, says):
    _prepare(pictures, "file,caption\n00.png,a\n")
    (pictures.parent / "out" / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=rf"dataset\.json {says}"):
        folder.read(pictures.parent / "out")


def test_the_written_table_is_whole(pictures):
    _prepare(pictures, "file,caption\n00.png,a\n01.png,b\n")
    out = pictures.parent / "out"
    lines = (out / "dataset.csv").read_text().splitlines()
    assert lines[0] == "file,caption,class,split"
    assert {line.rpartition(",")[2] for line in lines[1:]} == {"train", "test"}
    record = json.loads((out / "dataset.json").read_text())
    assert (record["version"], record["images"], len(record["written"])) == (1, str(pictures), 1)


def test_further_columns_are_kept(pictures):
    _prepare(pictures, "id,file,caption,licence\n7,00.png,a,CC0\n8,01.png,b,\n")
    lines = (pictures.parent / "out" / "dataset.csv").read_text().splitlines()
    assert lines[0] == "file,caption,class,split,id,licence"
    assert [line.split(",")[4:] for line in lines[1:]] == [["7", "CC0"], ["8", ""]]


USERS = "file,caption,author\n00.png,a,Ann\n01.png,b,Bo\n"


@pytest.mark.parametrize("link", [None, "symlink", "hardlink"])
def test_the_users_own_table_is_never_written_over(pictures, link):
    """Named as it is, by another spelling, or by a link: what counts is what lies at the place, not its name."""
    root = pictures.parent / "boats"
    root.mkdir()
    table = root / "dataset.csv"
    if link:
        kept = pictures.parent / "kept.csv"
        kept.write_text(USERS)
        table.symlink_to(kept) if link == "symlink" else table.hardlink_to(kept)
    else:
        table.write_text(USERS)
    for named in (table, pictures / ".." / "boats" / "dataset.csv"):
        with pytest.raises(UserError, match=r"dataset\.csv was not written by data prepare, and stays as it is"):
            folder.prepare(pictures, named, root)
    assert table.read_text() == USERS and sorted(path.name for path in root.iterdir()) == ["dataset.csv"]


@pytest.mark.parametrize("content", ["[]", "{}", "not JSON", '{"version": 1, "images": "x", "mine": 3}', '{"rows": 4}'])
def test_the_users_own_json_is_never_written_over(pictures, content):
    out = pictures.parent / "out"
    out.mkdir()
    (out / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json was not written by data prepare"):
        _prepare(pictures, "file,caption\n00.png,a\n")
    assert (out / "dataset.json").read_text() == content and not (out / "dataset.csv").exists()


def test_a_prepared_folder_is_prepared_again_but_not_once_its_table_was_edited(pictures):
    _prepare(pictures, "file,caption\n00.png,a\n01.png,b\n")
    again = _prepare(pictures, "file,caption\n00.png,c\n01.png,b\n")
    assert again.examples[0].captions == ("c",)
    table = pictures.parent / "out" / "dataset.csv"
    table.write_text(table.read_text().replace(",b,", ",two birds,"))
    with pytest.raises(UserError, match="was changed since it was prepared"):
        _prepare(pictures, "file,caption\n00.png,a\n01.png,b\n")
    assert "two birds" in table.read_text()


def test_a_prepare_that_was_stopped_between_its_two_files_can_be_repeated(pictures, monkeypatch):
    def stopped(*names):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.paths.os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            _prepare(pictures, "file,caption\n00.png,a\n01.png,b\n")
    for caption in ("c", "d"):
        assert _prepare(pictures, f"file,caption\n00.png,{caption}\n01.png,b\n").examples[0].captions == (caption,)


def test_a_file_under_several_names_is_one_image(pictures):
    (pictures / "link.png").symlink_to(pictures / "00.png")
    text = "file,caption\n00.png,a\n./00.png,b\n00.PNG,c\nlink.png,d\n../pictures/00.png,e\n01.png,f\n"
    index = _prepare(pictures, text).checked()
    assert [(e.key, e.captions) for e in index.examples] == [("00.png", tuple("abcde")), ("01.png", ("f",))]
    assert {e.split for e in index.examples} == {"train", "test"}


@pytest.mark.parametrize("count, tested", [(2, 1), (3, 1), (4, 2), (12, 2), (400, 30)])
def test_the_automatic_split_leaves_two_to_compare_with(count, tested):
    assert tested <= len(folder._test_files({f"{number:02d}.png" for number in range(count)})) <= count // 2


def test_a_split_may_be_written_large(pictures):
    assert [e.split for e in _prepare(pictures, "file,caption,split\n00.png,a,Test\n01.png,b,TRAIN\n").examples] == [
        "test",
        "train",
    ]


def test_a_file_in_the_place_of_a_folder_is_named(pictures):
    table = _table(pictures.parent, "file,caption\n00.png,a\n")
    with pytest.raises(UserError, match="is no folder"):
        folder.prepare(table, table, pictures.parent / "out")
    with pytest.raises(UserError, match="is no folder"):
        folder.prepare(pictures, table, table)
    assert table.read_text() == "file,caption\n00.png,a\n"
