"""Archives that someone made to harm are refused by name, with nothing written outside; of archives that another
system made only the data are taken."""

import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from t2i.data.archives import unpack
from t2i.data.download import Captions, Download, File, prepare
from t2i.errors import UserError

FIRST = "001.Albatross"


def tar(path: Path, *members, mode: str = "w:gz") -> Path:
    """``members``: (name, content) or (name, content, type, link)."""
    with tarfile.open(path, mode) as packed:
        for name, content, *more in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type, info.linkname = more or (tarfile.REGTYPE, "")
            packed.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, *members, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return path


def of_type(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o777) << 16
    return info


def refused(archive: Path, says: str) -> None:
    """``archive`` is refused in one sentence, and everything around it is as it was."""
    around = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError, match=says) as caught:
        unpack(archive, archive.parent / "root" / "set")
    assert archive.name in caught.value.problem and "\n" not in str(caught.value)
    made = {archive.parent / "root", archive.parent / "root" / "set"}
    assert set(archive.parent.rglob("*")) - made == set(around) - made


OUT = (
    "../evil",
    "a/../../evil",
    "/evil",
    "..\\evil",
    "a\\..\\..\\evil",
    "C:\\evil",
    "C:evil",
    "\\\\host\\share\\evil",
    "//evil",
)


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_way_out_of_the_folder(tmp_path, make, name):
    refused(make(tmp_path / "bad", ("good.txt", b"x"), (name, b"x")), "outside its folder")


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
@pytest.mark.parametrize("target", ["/etc", "../..", "good.txt"])
def test_links_and_devices_in_a_tar(tmp_path, kind, target):
    members = ("good.txt", b"x"), ("door", b"", getattr(tarfile, kind), target), ("door/evil", b"x")
    refused(tar(tmp_path / "bad.tar", *members, mode="w"), "holds 'door', a (link|device), which reaches outside")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(tmp_path, mode):
    refused(zipped(tmp_path / "bad.zip", (of_type("door", mode), "/etc")), "holds 'door', a (link|device)")


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_bomb_of_zeros(tmp_path, make):
    refused(make(tmp_path / "bomb", *((f"{n}.txt", bytes(1 << 20)) for n in range(24))), "over 200 times its size")


def test_a_bomb_of_empty_files(tmp_path):
    archive = tar(tmp_path / "bomb.txz", *((f"{n % 10}", b"") for n in range(5000)), mode="w:xz")
    refused(archive, "over 200 times its size")


def test_a_zip_whose_parts_are_all_the_same_bytes(tmp_path):
    """Every entry of the directory points to the first file, which the size of the archive does not show."""
    archive = zipped(tmp_path / "bomb.zip", *((f"{n}", bytes(1 << 20) if n == 0 else b"") for n in range(40)))
    raw = bytearray(archive.read_bytes())
    at = raw.index(b"PK\1\2")
    first = raw[at + 16 : at + 28]  # checksum and both sizes
    while at >= 0:
        raw[at + 16 : at + 28], raw[at + 42 : at + 46] = first, bytes(4)
        at = raw.find(b"PK\1\2", at + 4)
    archive.write_bytes(raw)
    refused(archive, "over 200 times its size|cannot be unpacked")


def test_a_zip_that_lies_about_a_size(tmp_path):
    archive = zipped(tmp_path / "liar.zip", ("a.txt", bytes(1 << 20)))
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 10)))
    refused(archive, "cannot be unpacked")


def test_an_encrypted_zip(tmp_path):
    archive = zipped(tmp_path / "secret.zip", ("a.txt", b"x" * 100))
    raw = bytearray(archive.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(raw)
    refused(archive, "cannot be unpacked .*encrypted")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut", b"\x1f\x8b cut", bytes(2000)])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "none.zip").write_bytes(content)
    try:
        unpack(tmp_path / "none.zip", tmp_path / "out")
    except UserError as error:
        assert "cannot be unpacked" in error.problem
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_in_the_place_of_a_folder(tmp_path):
    refused(tar(tmp_path / "odd.tar", ("a", b"x"), ("a/b", b"x")), "cannot be unpacked")
    refused(tar(tmp_path / "long.tar", ("x" * 300, b"x")), "cannot be unpacked")


def test_an_archive_that_the_disk_has_no_room_for(tmp_path, monkeypatch):
    from t2i.data import archives

    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    refused(zipped(tmp_path / "large.zip", ("a.txt", b"x" * 5000)), "needs more room than its disk has")


def texts(place: str = "", classes: int = 3, prefix: str = "", content: str = "a bird") -> list[tuple[str, str]]:
    names = [FIRST, *(f"{number:03d}.Bird" for number in range(2, classes + 1))]
    return [(f"{place}{prefix}{name}/{prefix}{name}_0001.txt", content) for name in names]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "archives").mkdir(parents=True)
    return tmp_path / "root"


def captions(root: Path, *members) -> Path:
    """Prepare from a captions archive put by hand; the folder that became ``text``."""
    zipped(root / "archives" / "words.zip", *members)
    prepare(Download((), Captions(File("words.zip", ()), ("text", "text_c10"), FIRST, "https://example.org")), root)
    return root / "text"


def read(text: Path) -> dict[str, str]:
    return {file.relative_to(text).as_posix(): file.read_text() for file in sorted(text.rglob("*")) if file.is_file()}


RIGHT = dict(texts())
MAC = [(f"__MACOSX/{place}{FIRST}/._{FIRST}_0001.txt", "\0\5\x16\7") for place in ("", "birds/", "a/b/text/")]


@pytest.mark.parametrize("place", ["", "birds/", "a/b/text/", "zz/"])
@pytest.mark.parametrize("before", [True, False])
def test_what_a_mac_packs_beside_the_data_is_left_out(root, place, before):
    beside = [(f"{place}{FIRST}/._{FIRST}_0001.txt", "fork"), (f"{place}.DS_Store", "x"), ("Thumbs.db", "x")]
    junk = MAC + beside
    assert read(captions(root, *(junk + texts(place) if before else texts(place) + junk))) == RIGHT


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_folders_the_whole_one_is_taken_in_whatever_order_they_come(root, turned):
    members = texts("sample/", 1, content="a sample") + texts("b/words/")
    members += [(f"vectors/{FIRST}/1.t7", "x"), (f"0/{FIRST}/._1.txt", "x"), (f".old/{FIRST}/1.txt", "old")]
    assert read(captions(root, *(members[::-1] if turned else members))) == RIGHT


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_are_whole_the_outer_and_then_the_first_is_taken(root, turned):
    members = texts("b/") + texts("a/deep/", content="deep") + texts("c/", content="last")
    assert read(captions(root, *(members[::-1] if turned else members))) == RIGHT


def test_an_archive_without_the_captions_is_named_and_the_right_one_taken_then(root):
    with pytest.raises(UserError, match=rf"words\.zip holds no folder {FIRST} with texts") as caught:
        captions(root, *MAC)
    assert "by hand" in caught.value.mend and sorted(path.name for path in root.iterdir()) == ["archives"]
    assert read(captions(root, *texts())) == RIGHT


def test_a_wrong_choice_is_mended_and_nothing_is_lost(root):
    assert read(captions(root, *texts(content="of another set"))) != RIGHT
    assert read(captions(root, *texts())) == RIGHT
    assert set(read(root / "text.before-1").values()) == {"of another set"}
    captions(root, *texts())
    assert sorted(path.name for path in root.iterdir()) == ["archives", "text", "text.before-1"]


def test_resource_forks_that_an_earlier_choice_took_for_captions_make_way(root):
    (root / "text" / FIRST).mkdir(parents=True)
    (root / "text" / FIRST / f"._{FIRST}_0001.txt").write_text("fork")
    assert read(captions(root, *texts())) == RIGHT


def test_captions_put_by_hand_are_found_behind_a_folder_of_resource_forks(root):
    for folder, file in (("text", "._1.txt"), ("text_c10", "1.txt")):
        (root / folder / FIRST).mkdir(parents=True)
        (root / folder / FIRST / file).write_text("a bird")
    before = read(root)
    prepare(Download((), Captions(File("words.zip", ()), ("text", "text_c10"), FIRST, "https://example.org")), root)
    assert read(root) == before


def test_captions_put_by_hand_are_never_replaced(root):
    (root / "text_c10" / FIRST).mkdir(parents=True)
    (root / "text_c10" / FIRST / "mine.txt").write_text("mine")
    assert not captions(root, *texts()).exists()
    assert read(root / "text_c10") == {f"{FIRST}/mine.txt": "mine"}


@pytest.mark.parametrize("place", ["", "unpacked/", "a/b/"])
def test_images_in_further_folders_are_found(root, place):
    tar(
        root / "archives" / "set.tgz",
        (f"__MACOSX/{place}CUB/._images.txt", b"x"),
        (f"{place}CUB/images.txt", b"1 a.jpg"),
    )
    prepare(Download((File("set.tgz", (), gives="CUB"),)), root)
    assert sorted(path.name for path in root.iterdir()) == ["CUB", "archives"]
    assert (root / "CUB" / "images.txt").read_text() == "1 a.jpg"


def test_an_archive_without_the_images_is_named(root):
    tar(root / "archives" / "set.tgz", ("other/a.txt", b"x"))
    with pytest.raises(UserError, match=r"set\.tgz holds no CUB"):
        prepare(Download((File("set.tgz", (), gives="CUB"),)), root)
    assert [path.name for path in root.iterdir()] == ["archives"]
