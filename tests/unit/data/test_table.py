import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i.data import table
from t2i.errors import UserError


@pytest.fixture
def read(tmp_path):
    def reading(content, encoding="utf-8"):
        path = tmp_path / "captions.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return table.read(path)

    return reading


WRONG = {
    "too many": ("file,caption\na.png,one\nb.png,a small bird, red crown\n", "line 3 has 3 values, and there are 2"),
    "too few": ("file,caption,class\na.png,one,x\nb.png,a bird\n", "line 3 has 2 values, and there are 3"),
    "one value": ("file,caption\na.png,one\n\nnothing\n", "line 4 has 1 values"),
    "tail as class": (
        "file,caption,class\na.png,a small bird, red crown\n",
        r"line 2: the caption seems .* \(red crown",
    ),
    "tail as split": ("caption,split,file\na bird, train,a.png\n", r"line 2: the caption seems to go on"),
    "tail in no column": ("file,caption,\na.png,a small bird,red crown\n", "line 2 has a value in a column without"),
    "twice": ("file,caption,caption\na.png,x,y\n", "line 1 names the column caption more than once"),
    "further twice": ("file,tag,caption,tag \na.png,x,y,z\n", "line 1 names the column tag more than once"),
    "open quote": ('file,caption\na.png,"a bird\nb.png,a dog\n', r"not a CSV file \(line \d"),
    "swallowed": ('file,caption\na.png,"a bird\nb.png,a dog\nc.png,"\n', "line 2: a quotation mark is left open"),
    "after quote": ('file,caption\na.png,"a bird" sits\n', r"not a CSV file \(line 2"),
    "backslash": ('file,caption\na.png,"a \\"red\\" bird"\n', r"not a CSV file \(line 2"),
    "single quotes": ("file,caption\na.png,'a, b'\n", "line 2 has 3 values"),
    "line of several": ('file,caption\na.png,"two\nlines"\nb.png,a,b\n', "line 4 has 3 values"),
    "semicolons": ("file;caption\na.png;x\n", "has no column file or caption"),
    "tabs": ("file\tcaption\na.png\tx\n", "has no column file or caption"),
    "excel": ("sep=,\nfile,caption\na.png,x\n", "has no column"),
    "lost": ("file,caption\na.png,x\nb.png,K\ufffdfer\n", r"not UTF-8 \(line 3 holds U\+FFFD"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_does_not_fit_is_named_with_its_line(read, case, end):
    content, says = WRONG[case]
    with pytest.raises(UserError, match=says):
        read(content.replace("\n", end))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "shift-jis"])
def test_another_encoding_is_named_with_the_line(read, encoding):
    words = "猫" if encoding == "shift-jis" else "Käfer"
    with pytest.raises(UserError, match=r"not UTF-8 \(line \d+") as caught:
        read(f"file,caption\na.png,x\nb.png,{words}\n", encoding)
    if not encoding.startswith("utf"):
        assert "line 3" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        'file,caption\na.png,"one, two"\nb.png,three\n',
        '\ufefffile , caption \n a.png , "one, two" \nb.png,three\n'.replace('" \n', '"\n'),
        'caption,file\r\n"one, two",a.png\r\n\r\nthree,b.png\r\n',
        ',file,caption\n0,a.png,"one, two"\n1,b.png,three\n',  # as pandas writes it
        'file,caption,\na.png,"one, two",\nb.png,three,\n',
        '"file","caption"\r"a.png","one, two"\r"b.png","three"\r',
    ],
)
def test_every_way_to_write_it_is_read(read, content):
    assert [(row["file"], row["caption"]) for row in read(content).rows] == [("a.png", "one, two"), ("b.png", "three")]


def test_a_class_behind_a_blank_is_read_where_the_caption_surely_ends(read):
    assert read("file, caption, class\na.png, one, x\n").rows[0]["class"] == "x"
    assert read('file,caption,class\na.png,"one", x\n').rows[0]["class"] == "x"
    assert read('file,caption,class\na.png,"one, two", x\n').rows[0]["caption"] == "one, two"


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd"), max_size=12)
SEPARATED = st.text(st.sampled_from("ab.png,\"; \n\r\t\\'"), max_size=60)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_program_writes_is_read_as_it_was_or_refused(tmp_path_factory, rows, quoting):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows([("file", "caption", "tag"), *rows])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.getvalue().encode())
    try:
        found = table.read(path).rows
    except UserError as error:
        assert str(path) in error.problem
    else:
        assert [(r["file"], r["caption"], r["tag"]) for r in found] == [tuple(map(str.strip, row)) for row in rows]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(SEPARATED.map(lambda text: f"file,caption\n{text}".encode()), st.binary(max_size=60)))
def test_any_bytes_are_a_table_or_one_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(content)
    try:
        found = table.read(path)
    except UserError as error:
        assert str(path) in error.problem
    else:
        assert all(set(table.COLUMNS) <= set(row) for row in found.rows)
        again = path.with_suffix(".again")
        table.write(again, found)
        assert [list(row.values()) for row in table.read(again).rows] == [list(row.values()) for row in found.rows]
