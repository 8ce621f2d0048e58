import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from t2i.data import DATASETS, cub, flowers
from t2i.data.archives import unpack
from t2i.data.download import Captions, Download, File, fetch, prepare
from t2i.errors import UserError

CONTENT = bytes(range(256)) * 4000


class _Handler(BaseHTTPRequestHandler):
    """Serves ``server.files``; breaks off once after ``server.breaks_after`` bytes; honours Range if told to."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path not in server.files:
            self.send_error(404)
            return
        content, start = server.files[self.path], 0
        if server.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if server.breaks_after:
            end, server.breaks_after = start + server.breaks_after, 0
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.files, server.asked, server.ranges, server.breaks_after = {"/file.bin": CONTENT}, [], True, 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _file(server, path="/file.bin", **changes):
    values = {"size": len(CONTENT), "md5": hashlib.md5(CONTENT).hexdigest(), **changes}
    return File(path[1:], (server.url + path,), **values)


def test_fetches_verifies_and_keeps(server, tmp_path):
    path = fetch(_file(server), tmp_path / "archives")
    assert path == tmp_path / "archives" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]
    fetch(_file(server), tmp_path / "archives")
    assert len(server.asked) == 1


def test_goes_on_where_an_earlier_call_was_stopped(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(_file(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", "bytes=1000-")]


def test_goes_on_after_the_line_breaks(server, tmp_path):
    server.breaks_after = 5000
    assert fetch(_file(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", None), ("/file.bin", "bytes=5000-")]


def test_starts_again_where_the_server_cannot_resume(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(_file(server), tmp_path).read_bytes() == CONTENT


def test_does_not_resume_what_cannot_be_verified(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"another edition")
    assert fetch(_file(server, size=None, md5=None), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", None)]


def test_a_spoilt_part_is_thrown_away(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * len(CONTENT))
    assert fetch(_file(server), tmp_path).read_bytes() == CONTENT


def test_the_second_mirror_is_tried(server, tmp_path):
    file = File("file.bin", (f"{server.url}/gone", f"{server.url}/file.bin"), len(CONTENT))
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/gone", "/file.bin"]


@pytest.mark.parametrize("wrong", [{"md5": "0" * 32}, {"size": 7}])
def test_the_wrong_bytes_are_refused(server, tmp_path, wrong):
    with pytest.raises(UserError, match=r"Could not download file\.bin .*instead of") as caught:
        fetch(_file(server, **wrong), tmp_path)
    assert caught.value.mend.startswith(f"Put it by hand at {tmp_path / 'file.bin'} (")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_nobody_serves_says_where_to_put_it(server, tmp_path):
    with pytest.raises(UserError, match=r"Could not download gone\.bin .*404") as caught:
        fetch(_file(server, "/gone.bin"), tmp_path)
    assert caught.value.mend == (
        f"Put it by hand at {tmp_path / 'gone.bin'} (1,024,000 bytes, md5 {hashlib.md5(CONTENT).hexdigest()})."
    )


def test_no_network_is_said_in_a_sentence(tmp_path, server):
    file = _file(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"Could not download file\.bin \(http://127.*refused"):
        fetch(file, tmp_path)


def test_a_wrong_file_put_by_hand_is_named(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"file\.bin is not the right file .it has 14 bytes instead of 1,024,000"):
        fetch(_file(server), tmp_path)


def _tar(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def _zip(path, members):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def test_unpacks_tar_and_zip(tmp_path):
    unpack(_tar(tmp_path / "a.tgz", ("one/a.txt", b"a", tarfile.REGTYPE, "")), tmp_path / "out")
    unpack(_zip(tmp_path / "b.zip", {"two/": "", "two/b.txt": "b"}), tmp_path / "out")
    assert (tmp_path / "out" / "one" / "a.txt").read_text() == "a"
    assert (tmp_path / "out" / "two" / "b.txt").read_text() == "b"
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    "member",
    [
        ("../evil.txt", b"x", tarfile.REGTYPE, ""),
        ("good/../../evil.txt", b"x", tarfile.REGTYPE, ""),
        ("/evil.txt", b"x", tarfile.REGTYPE, ""),
        ("link", b"", tarfile.SYMTYPE, "../evil.txt"),
        ("link", b"", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", b"", tarfile.LNKTYPE, "../evil.txt"),
        ("device", b"", tarfile.CHRTYPE, ""),
    ],
)
def test_a_tar_member_that_would_leave_the_folder_is_refused(tmp_path, member):
    archive = _tar(tmp_path / "bad.tgz", ("good/a.txt", b"a", tarfile.REGTYPE, ""), member)
    with pytest.raises(UserError, match=r"bad\.tgz holds .* outside its folder") as caught:
        unpack(archive, tmp_path / "out")
    assert repr(member[0]) in caught.value.problem
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.tgz", "out"]


@pytest.mark.parametrize("name", ["../evil.txt", "good/../../evil.txt", "/evil.txt", "C:\\evil.txt", "..\\evil.txt"])
def test_a_zip_member_that_would_leave_the_folder_is_refused(tmp_path, name):
    archive = _zip(tmp_path / "bad.zip", {"good/a.txt": "a", name: "x"})
    with pytest.raises(UserError, match=r"bad\.zip holds .* outside its folder"):
        unpack(archive, tmp_path / "out")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.zip", "out"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match=r"bad\.zip holds 'link'"):
        unpack(_zip(tmp_path / "bad.zip", {link: "/etc/passwd"}), tmp_path / "out")


@pytest.mark.parametrize("half", ["a.tgz", "a.zip"])
def test_half_an_archive_leaves_nothing_behind(tmp_path, half):
    content = bytes(hashlib.sha256(str(n).encode()).digest()[0] for n in range(40_000))
    if half.endswith("zip"):
        archive = _zip(tmp_path / half, {"one/a.bin": content})
    else:
        archive = _tar(tmp_path / half, ("one/a.bin", content, tarfile.REGTYPE, ""))
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{half} cannot be unpacked") as caught:
        unpack(archive, tmp_path / "out")
    assert "download it again" in caught.value.mend
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_that_is_there_is_overwritten(tmp_path):
    (tmp_path / "out" / "one").mkdir(parents=True)
    with pytest.raises(UserError, match="one is there already"):
        unpack(_zip(tmp_path / "a.zip", {"one/a.txt": "a", "two/b.txt": "b"}), tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["one"]


@pytest.fixture
def published(server, tmp_path):
    """CUB and its captions as a local server publishes them."""

    def serve(archive, gives=""):
        content = archive.read_bytes()
        server.files[f"/{archive.name}"] = content
        return File(
            archive.name, (f"{server.url}/{archive.name}",), len(content), hashlib.md5(content).hexdigest(), gives
        )

    tar = _tar(tmp_path / "cub.tgz", ("CUB_200_2011/images.txt", b"1 a.jpg", tarfile.REGTYPE, ""))
    first = cub.DOWNLOAD.captions.first
    words = _zip(tmp_path / "words.zip", {f"some/where/{first}/{first}_0001.txt": "a black bird"})
    captions = Captions(serve(words), cub.TEXT_FOLDERS, first, "https://example.org")
    return Download((serve(tar, "CUB_200_2011"),), captions)


def test_prepare_brings_images_and_captions(published, server, tmp_path):
    root = tmp_path / "root"
    prepare(published, root)
    first = published.captions.first
    assert (root / "CUB_200_2011" / "images.txt").read_text() == "1 a.jpg"
    assert (root / "text" / first / f"{first}_0001.txt").read_text() == "a black bird"
    assert sorted(entry.name for entry in root.iterdir()) == ["CUB_200_2011", "archives", "text"]
    asked = len(server.asked)
    prepare(published, root)
    assert len(server.asked) == asked


def test_prepare_says_where_captions_go_by_hand(published, server, tmp_path):
    del server.files["/words.zip"]
    with pytest.raises(UserError, match=r"Could not download words\.zip") as caught:
        prepare(published, tmp_path / "root")
    assert str(tmp_path / "root" / "text" / published.captions.first) in caught.value.mend
    assert "https://example.org" in caught.value.mend
    (tmp_path / "root" / "text_c10").mkdir()  # put by hand
    prepare(published, tmp_path / "root")


def test_the_table_of_files_is_complete():
    downloads = {name: entry.download for name, entry in DATASETS.items() if entry.download}
    files = [file for download in downloads.values() for file in download.files]
    assert set(downloads) == {"cub", "flowers", "coco"} and {len(file.md5) for file in files} == {32}
    assert all(file.size and file.urls and all(url.startswith("http") for url in file.urls) for file in files)
    assert flowers.DOWNLOAD.captions.folders[0] == "text_c10" and downloads["coco"].captions is None
