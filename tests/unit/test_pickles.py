"""Official metadata: Python 2's pickles are read in each protocol, and nothing that a pickle asks for is run."""

import pickle
import struct

import numpy as np
import pytest

from t2i import pickles
from t2i.errors import UserError

READERS = (pickles.captions, pickles.filenames, pickles.class_info, pickles.embeddings)
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
NDARRAY, DTYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"


def python2(value, protocol: int) -> bytes:
    """The instructions with which Python 2 (and NumPy 1.16 under it) writes ``value``; bytes are its ``str``."""

    def put(*values):
        return b"".join(python2(value, protocol) for value in values)

    match value:
        case None:
            return b"N"
        case bool():
            return (b"\x89", b"\x88")[value] if protocol == 2 else b"I0%d\n" % value
        case int():
            short = b"K%c" % value if 0 <= value < 256 else b"J" + struct.pack("<i", value)
            return short if protocol else b"I%d\n" % value
        case bytes():
            short = b"U%c" % len(value) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
            return short + value if protocol else b"S" + repr(value)[1:].encode() + b"\n"
        case str():
            long = b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            return long if protocol else b"V" + value.encode("raw_unicode_escape") + b"\n"
        case tuple():
            return b"(" + put(*value) + b"t"
        case list():
            return b"](" + put(*value) + b"e" if protocol else b"(l" + b"".join(put(item) + b"a" for item in value)
        case dict():
            items = [put(key, item) for key, item in value.items()]
            return b"}(" + b"".join(items) + b"u" if protocol else b"(d" + b"".join(item + b"s" for item in items)
        case np.dtype():
            state = (3, value.str[:1].encode(), None, None, None, -1, -1, 0)
            return DTYPE + put((value.str[1:].encode(), 0, 1)) + b"R" + put(state) + b"b"
        case np.generic():
            return SCALAR + put((value.dtype, value.tobytes())) + b"R"
        case np.ndarray():
            fortran = not value.flags.c_contiguous
            state = (1, value.shape, value.dtype, fortran, value.tobytes("F" if fortran else "C"))
            return RECONSTRUCT + b"(" + NDARRAY + put((0,), b"b") + b"tR" + put(state) + b"b"


def stream(instructions: bytes, protocol: int = 2) -> bytes:
    return (b"\x80\x02" if protocol == 2 else b"") + instructions + b"."


@pytest.fixture
def write(tmp_path):
    """``write(value)`` pickles a value as Python 2 would; bytes are written as they are."""

    def write(content, protocol: int = 2):
        path = tmp_path / "metadata.pickle"
        path.write_bytes(content if isinstance(content, bytes) else stream(python2(content, protocol), protocol))
        return path

    return write


def refusal(reader, path) -> UserError:
    with pytest.raises(UserError) as caught:
        reader(path)
    assert str(path) in caught.value.problem and caught.value.mend
    return caught.value


IXTOWORD = {0: b"<end>", 1: "bird", 2: b"caf\xe9", 3: "na\xefve"}
WORDTOIX = {word: number for number, word in IXTOWORD.items()}
METADATA = [[[1, 2, 1], [3]], [[2]], IXTOWORD, WORDTOIX]


@pytest.mark.parametrize("protocol", [0, 1, 2])
class TestPython2:
    def test_captions(self, write, protocol):
        train, test, vocabulary = pickles.captions(write(METADATA, protocol))
        assert (train, test) == ([[1, 2, 1], [3]], [[2]])
        assert vocabulary.words == ["<end>", "bird", "café", "naïve"]
        assert len(vocabulary) == 4 and vocabulary.ids["naïve"] == 3

    def test_filenames(self, write, protocol):
        names = pickles.filenames(write([b"001.A/A_1", "002.B/B_2", b"caf\xe9"], protocol))
        assert names == ["001.A/A_1", "002.B/B_2", "café"]

    def test_class_info(self, write, protocol):
        numbers = [1, 300, np.int64(-200), np.int32(4), np.array(70000, dtype=">i4")[()], np.uint8(5)]
        read = pickles.class_info(write(numbers, protocol))
        assert read == [1, 300, -200, 4, 70000, 5]
        assert all(type(number) is int for number in read)

    @pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4"])
    @pytest.mark.parametrize("layout", [np.array, list, np.asfortranarray])
    def test_embeddings(self, write, protocol, dtype, layout):
        array = np.random.default_rng(0).normal(size=(3, 2, 1024)).astype(dtype)
        read = pickles.embeddings(write(layout(array), protocol))
        assert read.dtype == np.float32 and read.flags.c_contiguous and read.flags.writeable
        np.testing.assert_array_equal(read, array.astype(np.float32))


@pytest.mark.parametrize(
    "written",
    [
        b"(lp1\nI3\naL4L\nacnumpy.core.multiarray\nscalar\np2\n(cnumpy\ndtype\np3\n(S'i8'\nI0\nI1\ntRp4\n(I3\nS'<'\n"
        b"NNNI-1\nI-1\nI0\ntbS'8\\xff\\xff\\xff\\xff\\xff\\xff\\xff'\ntRp5\nag2\n(g3\n(S'u1'\nI0\nI1\ntRp6\n(I3\n"
        b"S'|'\nNNNI-1\nI-1\nI0\ntbS'\\x05'\ntRp7\na.",
        b"\x80\x02]q\x00(K\x03\x8a\x01\x04cnumpy.core.multiarray\nscalar\nq\x01cnumpy\ndtype\nq\x02U\x02i8q\x03K\x00K"
        b"\x01\x87q\x04Rq\x05(K\x03U\x01<q\x06NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x07bU\x088\xff\xff\xff\xff"
        b"\xff\xff\xffq\x08\x86q\tRq\nh\x01h\x02U\x02u1q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01|q\x0eNNNJ\xff\xff\xff"
        b"\xffJ\xff\xff\xff\xffK\x00tq\x0fbU\x01\x05q\x10\x86q\x11Rq\x12e.",
    ],
)
def test_what_python_2_7_and_numpy_1_16_really_wrote(write, written):
    assert pickles.class_info(write(written)) == [3, 4, -200, 5]


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_3_writes_here(write, protocol):
    array = np.random.default_rng(0).normal(size=(3, 2, 1024)).astype(np.float32)
    for layout in (array, list(array), np.asfortranarray(array), array.swapaxes(0, 1).copy().swapaxes(0, 1)):
        np.testing.assert_array_equal(pickles.embeddings(write(pickle.dumps(layout, protocol))), array)
    assert pickles.class_info(write(pickle.dumps([7, np.int64(-8), np.uint16(9)], protocol))) == [7, -8, 9]


@pytest.mark.parametrize("core", ["core", "_core"])  # of NumPy 1 and 2
def test_numpy_1_and_2_name_their_functions_differently(write, core):
    array = np.arange(6 * 1024, dtype="<f4").reshape(3, 2, 1024)
    for layout in (((3, 2, 1024), "C"), ((3, 2, 1024), "F"), ((2, 3, 1024), "K", (1, 0, 2))):
        raw = array.swapaxes(0, 1).tobytes() if layout[1] == "K" else array.tobytes(layout[1])
        arguments = python2((raw, array.dtype, *layout), 2)
        path = write(stream(named(f"numpy.{core}.numeric", "_frombuffer") + arguments + b"R"))
        np.testing.assert_array_equal(pickles.embeddings(path), array)
    for reader, value in ((pickles.class_info, [np.int64(5)]), (pickles.embeddings, np.ones((1, 1, 1024)))):
        written = python2(value, 2).replace(b"numpy.core.multiarray", f"numpy.{core}.multiarray".encode())
        assert np.array_equal(reader(write(stream(written))), value)


def test_a_shape_that_is_asked_for_before_the_numbers_come_costs_nothing(write):
    written = python2(np.ones((1, 1, 1024), dtype=np.float32), 2)
    absurd = written.replace(NDARRAY + python2((0,), 2), NDARRAY + python2((1 << 30,) * 4, 2))
    assert absurd != written
    assert pickles.embeddings(write(stream(absurd))).shape == (1, 1, 1024)


def named(module: str, name: str) -> bytes:
    return python2(module, 2) + python2(name, 2) + b"\x93"  # STACK_GLOBAL


def call(function: bytes, *arguments) -> bytes:
    return b"c" + function + b"\n" + python2(arguments, 2) + b"R"


FLOATS, FLOAT32 = python2(bytes(4096), 2), python2(np.dtype("<f4"), 2)
OBJECTS = DTYPE + b"(U\x02O8K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
# Eight plain bytes that are declared to be a pointer to an object: NumPy believes it, and crashes.
FIELDS = DTYPE + b"(U\x02V8K\x00K\x01tR(K\x03U\x01|N(U\x01xt}U\x01x(" + OBJECTS + b"K\x00tsK\x08K\x01K\x10tb"


def array_of(raw: bytes, dtype: bytes = FLOAT32, shape: tuple = (1, 1024), subtype: bytes = NDARRAY) -> bytes:
    """The instructions for an array whose parts are themselves instructions, so that each can be forged."""
    made = RECONSTRUCT + b"(" + subtype + python2((0,), 2) + python2(b"b", 2) + b"tR"
    return made + b"(" + python2(1, 2) + python2(shape, 2) + dtype + b"\x89" + raw + b"tb"


def harmful(path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would make the folder ``path``, with the name that each of them asks for."""
    command, code = f'mkdir "{path}"'.encode(), f"__import__('os').mkdir({str(path)!r})".encode()
    system, argument = call(b"os\nsystem", command), python2(command, 2)
    return {
        "REDUCE": (stream(system), "os.system"),
        "protocol 0": (b"cos\nsystem\n(" + python2(command, 0) + b"tR.", "os.system"),
        "INST": (b"(" + python2(command, 0) + b"ios\nsystem\n.", "os.system"),
        "OBJ": (stream(b"(cos\nsystem\n" + argument + b"o"), "os.system"),
        "STACK_GLOBAL": (stream(named("builtins", "eval") + python2((code,), 2) + b"R"), "builtins.eval"),
        "Python 2": (stream(call(b"__builtin__\neval", code)), "__builtin__.eval"),
        "as a key": (stream(b"}" + system + b"K\x01s"), "os.system"),
        "thrown away": (stream(system + b"0](K\x01e"), "os.system"),
        "as an array's bytes": (stream(array_of(system)), "os.system"),
        "in an object array": (stream(array_of(b"](" + system + b"e", OBJECTS, (1,))), "os.system"),
        "in a dtype": (stream(DTYPE + b"(U\x02f4K\x00K\x01tR" + system + b"b"), "os.system"),
        "in a partial": (stream(b"cfunctools\npartial\n(cos\nsystem\n" + argument + b"tR)R"), "functools.partial"),
    }


@pytest.mark.parametrize("kind", harmful("unused"))
@pytest.mark.parametrize("reader", READERS)
def test_a_harmful_pickle_is_refused_and_not_run(write, tmp_path, reader, kind):
    path = tmp_path / "harm"
    content, name = harmful(path)[kind]
    error = refusal(reader, write(content))
    assert not path.exists()
    assert repr(name) in error.problem
    assert "was not opened, and nothing of it was run" in error.problem
    assert "official file" in error.mend


@pytest.mark.parametrize("kind", sorted(set(harmful("unused")) - {"as an array's bytes", "in a dtype"}))
def test_those_pickles_do_their_harm_where_they_are_trusted(tmp_path, kind):
    path = tmp_path / "harm"
    pickle.loads(harmful(path)[kind][0], encoding="latin1")
    assert path.is_dir()


@pytest.mark.parametrize(
    ("instructions", "name"),
    [
        (call(b"numpy.core.multiarray\nfromfile", b"x"), "'numpy.core.multiarray.fromfile'"),
        (named("numpy", "dtype.__base__"), "'numpy.dtype.__base__'"),
        (call(b"copy_reg\n_reconstructor", 1), "'copy_reg._reconstructor'"),
        (array_of(FLOATS, subtype=b"cnumpy.matrixlib.defmatrix\nmatrix\n"), "'numpy.matrixlib.defmatrix.matrix'"),
        (array_of(FLOATS, subtype=DTYPE), "'numpy.core.multiarray._reconstruct'"),
        (array_of(FLOATS, subtype=NDARRAY + b"(K\x01tR"), "'numpy.core.multiarray._reconstruct'"),
        (array_of(FLOATS)[:-2] + b"K\x01tb", "'numpy.core.multiarray._reconstruct'"),  # a state of six parts
        (call(b"numpy\nndarray", (1 << 20, 1 << 10)), "'numpy.ndarray'"),
        (array_of(b"](K\x01e", OBJECTS, (1,)), "something else than numbers"),
        (array_of(python2(b"A" * 8, 2), FIELDS, (1,)), "something else than numbers"),
        (array_of(FLOATS, python2(np.dtype("<c8"), 2), (1, 512)), "'c8'"),
        (array_of(FLOATS, DTYPE + b"(U\x02f4K\x00K\x01tR"), "something else than numbers"),
        (array_of(call(b"_codecs\nencode", "\0" * 4096, "utf-8")), "'_codecs.encode'"),
        (call(b"_codecs\nencode", "vzcbeg bf", "rot13"), "'_codecs.encode'"),
        (SCALAR + b"}U\x08__call__U\x01xsb", "'numpy.core.multiarray.scalar'"),  # BUILD on what is on the list
        (DTYPE + b"N}U\x04nameU\x01xs\x86b", "'numpy.dtype'"),
        (b"U\x02idQ", "a persistent id"),
        (b"Pid\n", "a persistent id"),
    ],
)
@pytest.mark.parametrize("reader", [pickles.class_info, pickles.embeddings])
def test_what_arrays_of_numbers_do_not_need_is_refused(write, reader, instructions, name):
    for nested in (instructions, b"](" + instructions + b"e"):
        error = refusal(reader, write(stream(nested)))
        assert name in error.problem
        assert "nothing of it was run" in error.problem


def test_a_long_or_unprintable_name_does_not_spoil_the_sentence(write):
    error = refusal(pickles.filenames, write(stream(named("os", "\x1b[2J\n" + "x" * 10000))))
    assert "'os.\\x1b[2J\\nxxx" in error.problem
    assert len(error.problem) < 600


@pytest.mark.parametrize(
    "instructions",
    [
        b"]}U\x01xK\x01sb",  # BUILD on a list
        NDARRAY + b"(K\x04t\x81",  # NEWOBJ
        NDARRAY + b"K\x01a",  # APPEND
        SCALAR + b"U\x01xK\x01s",  # SETITEM
        b"\x82\x01",  # an extension
        b"\x97",  # a buffer that lies outside the file
        array_of(FLOATS, shape=(1, 1023)),
        array_of(FLOATS, shape=(-1, -1024)),
        array_of(b"U\x00", shape=(1 << 30,) * 4),  # 0 when it is counted in 64 bits
        array_of(python2(bytes(4095), 2)),
        array_of(python2(bytes(4092), 2)),
        array_of(python2("€" * 1024, 2)),
        array_of(b"]"),
    ],
)
def test_nonsense_is_reported_and_harmless(write, instructions):
    assert "cut short or no pickle" in refusal(pickles.embeddings, write(stream(b"](" + instructions + b"e"))).problem


@pytest.mark.parametrize("protocol", [0, 2])
def test_every_cut_is_noticed(write, protocol):
    whole = stream(python2([np.int64(1), 2], protocol), protocol)
    for length in range(len(whole)):
        error = refusal(pickles.class_info, write(whole[:length]))
        assert "cut short or no pickle" in error.problem and "download it anew" in error.mend
    assert pickles.class_info(write(whole)) == [1, 2]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html>", "it is a web page, not the file"),
        (b"version https://git-lfs", "it is a Git LFS pointer"),
        (b"PK\x03\x04", "it is cut short or no pickle"),
        (bytes(64), "it is cut short or no pickle"),
    ],
)
def test_what_is_no_pickle_or_not_there(write, tmp_path, content, what):
    said = refusal(pickles.captions, write(content)).problem
    assert "no pickle" in said and what in said
    assert "cannot be read" in refusal(pickles.captions, tmp_path).problem
    assert "does not exist" in refusal(pickles.captions, tmp_path / "captions.pickle").problem


def words(*names) -> list:
    """``captions.pickle`` for a vocabulary, with one caption of one word."""
    return [[[0]], [[0]], dict(enumerate(names)), {name: number for number, name in enumerate(names)}]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (METADATA[:3], "has another structure"),
        ([*METADATA[:2], WORDTOIX, IXTOWORD], "does not number its 4 words from 0"),
        ([*METADATA[:2], {0: b"<end>", 2: "bird"}, {b"<end>": 0, "bird": 2}], "does not number its 2 words from 0"),
        ([*METADATA[:2], {True: "bird", 0: b"<end>"}, {b"<end>": 0, "bird": 1}], "does not number its 2 words"),
        (words("bird", "<end>"), "does not start its vocabulary with <end>"),
        (words("<end>", 5), "has words that are not text"),
        (words(b"<end>", b"caf\xe9", "bird", "café"), "has the word 'café' twice, as number 1 and as 3"),
        ([*METADATA[:3], WORDTOIX | {"red": 4}], "ixtoword and wordtoix differ"),
        ([[1, 2], *METADATA[1:]], "has train captions that are not lists of word numbers"),
        ([[[1, True]], *METADATA[1:]], "has train captions that are not lists"),
        ([METADATA[0], [[[1]]], *METADATA[2:]], "has test captions that are not lists"),
        ([[[1, 4]], *METADATA[1:]], "has 4 words, and train captions with the word number 4"),
        ([METADATA[0], [[3], [-1]], *METADATA[2:]], "has 4 words, and test captions with the word number -1"),
    ],
)
def test_captions_of_another_structure(write, value, problem):
    error = refusal(pickles.captions, write(value))
    assert problem in error.problem
    assert "It should hold the" in error.mend and "take the official file" in error.mend


HOLDS = {
    pickles.filenames: "a list of image names",
    pickles.class_info: "a list of class numbers",
    pickles.embeddings: "one (captions, 1024) array of floats for each image, with as many captions for every image",
}


@pytest.mark.parametrize(
    ("reader", "value", "problem"),
    [
        *((reader, value, "has another structure") for reader in HOLDS for value in ({"a": 1}, [], "001.A/A_1", 5)),
        (pickles.filenames, ["001.A/A_1", 2], "not of type str"),
        (pickles.class_info, [1, "2"], "not of type int"),
        (pickles.class_info, [1, True], "not of type int"),
        (pickles.class_info, [1, np.float32(2)], "not of type int"),
        (pickles.embeddings, np.zeros((2, 1024)), "has another structure"),
        (pickles.embeddings, np.zeros((0, 2, 1024)), "has another structure"),
        (pickles.embeddings, np.zeros((2, 2, 1023)), "no embeddings for image 0"),
        (pickles.embeddings, [np.zeros((2, 1024)), 5], "no embeddings for image 1"),
        (pickles.embeddings, [np.zeros((2, 1024)), np.zeros(1024)], "no embeddings for image 1"),
        (pickles.embeddings, [np.zeros((2, 1024), dtype=np.int32)], "no embeddings for image 0"),
        (pickles.embeddings, [np.zeros((0, 1024))], "no embeddings for image 0"),
        (
            pickles.embeddings,
            [np.zeros((2, 1024)), np.zeros((3, 1024))],
            "has 2 captions for image 0 and 3 for image 1",
        ),
    ],
)
def test_other_metadata_of_another_structure(write, reader, value, problem):
    error = refusal(reader, write(value))
    assert problem in error.problem
    assert error.mend == f"It should hold {HOLDS[reader]}: take the official file."
