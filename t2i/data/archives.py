"""Archives of other people, unpacked: what could reach outside its folder or fill the disk is refused by name, and what
an operating system has added for itself is left out."""

import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from t2i.errors import UserError
from t2i.progress import tqdm

_BLOCK = 1 << 20
_RATIO, _SLACK = 200, 16 << 20  # an archive may unpack to 200 times its size (captions: 10) and 16 MB more
_CLUSTER = 4096  # bytes that the smallest file takes on a disk
_FROM_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin")
_BROKEN = (
    OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, ValueError, struct.error,
    RuntimeError,  # encrypted, or packed in a way that Python does not know
)  # fmt: skip


class _Member(NamedTuple):
    """One entry: its ``name`` with slashes, its unpacked ``size`` in bytes, what it is (``kind``: "file", "folder", or
    anything else in words), and itself as its library knows it."""

    name: str
    size: int
    kind: str
    own: object


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into ``folder``; each entry at its top level arrives whole or not at all.

    Raises :class:`UserError` for an archive that is broken or encrypted, that holds a link, a device or a member which
    would leave the folder (by ".." or an absolute path), that unpacks to far more than its size, or whose top level is
    in ``folder`` already.
    """
    archive, folder = Path(archive), Path(folder)
    with unpacked(archive, folder) as place:
        entries = {entry: folder / entry.name for entry in place.iterdir()}
        for target in entries.values():
            if os.path.lexists(target):
                raise UserError(f"{target} is there already", f"Move it away to unpack {archive.name}.")
        for entry, target in entries.items():
            entry.replace(target)


@contextmanager
def unpacked(archive: Path, beside: Path) -> Iterator[Path]:
    """A passing folder in ``beside`` that holds what is in ``archive``; errors as of :func:`unpack`."""
    archive, beside = Path(archive), Path(beside)
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".unpacking-") as name:
        place = Path(name)
        try:
            with _opened(archive) as (members, read):
                _write_all(archive, members, read, place)
        except _BROKEN as error:
            mend = "Make room if the disk is full; otherwise delete it and download it again."
            raise UserError(f"{archive} cannot be unpacked ({error})", mend) from None
        yield place


def caption_folder(place: Path, first: str) -> Path | None:
    """The folder below ``place`` that holds the captions of all classes: of those that have the class ``first`` the one
    with the most classes; of several with as many the least deep, then the first by name. None where none is."""
    found = {}
    for folder, inside, _ in os.walk(place):
        if first in inside and has_texts(Path(folder, first)):
            found[Path(folder)] = sum(has_texts(Path(folder, name)) for name in inside)
    return min(found, key=lambda path: (-found[path], len(path.parts), str(path)), default=None)


def has_texts(folder: Path) -> bool:
    """Whether a text that is not hidden lies in ``folder``; beside each file macOS packs a hidden one."""
    return any(entry.name.endswith(".txt") and not is_hidden(entry.name) for entry in os.scandir(folder))


def is_hidden(name: str) -> bool:
    """Whether a path has a part that only an operating system cares for."""
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "..", "/")]
    return any(part.startswith(".") or part.lower() in _FROM_SYSTEMS for part in parts)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[Iterator[_Member], object]]:
    """The members of an archive, and what opens one of them for reading."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield map(_of_zip, packed.infolist()), packed.open
    else:
        with tarfile.open(archive) as packed:
            yield map(_of_tar, packed), packed.extractfile


def _of_zip(info: zipfile.ZipInfo) -> _Member:
    name = info.filename.replace("\\", "/")  # some programs for Windows write it so
    mode = (info.external_attr >> 16) & 0o170000
    kind = "folder" if name.endswith("/") else {0: "file", 0o100000: "file", 0o120000: "a link"}.get(mode, "a device")
    return _Member(name, info.file_size, kind, info)


def _of_tar(info: tarfile.TarInfo) -> _Member:
    linked = info.issym() or info.islnk()
    kind = "folder" if info.isdir() else "file" if info.isreg() else "a link" if linked else "a device"
    return _Member(info.name, info.size, kind, info)


def _write_all(archive: Path, members: Iterator[_Member], read, place: Path) -> None:
    allowed, total = _RATIO * archive.stat().st_size + _SLACK, 0
    free = shutil.disk_usage(place).free
    for member in tqdm(members, desc=f"unpacking {archive.name}", unit="file"):
        named = f"{archive} holds {member.name!r}"
        if _leaves(member.name):
            raise UserError(f"{named}, which would be written outside its folder", "Get it from its source.")
        if member.kind not in ("file", "folder"):
            raise UserError(f"{named}, {member.kind}, which reaches outside its folder", "Get it from its source.")
        total += max(member.size, _CLUSTER)
        if total > allowed:
            problem = f"{named}, with which it would unpack to over {_RATIO} times its size, as no data set does"
            raise UserError(problem, "Get it from its source.")
        if total > free:
            problem = f"{archive} needs more room than its disk has ({free / 1e9:.1f} GB are free)"
            raise UserError(problem, "Make room, or name another disk with --root.")
        if is_hidden(member.name):
            continue
        target = place / member.name
        if member.kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with read(member.own) as source, open(target, "wb") as out:
                _copy(source, out, member.size)


def _copy(source: IO[bytes], out: IO[bytes], size: int) -> None:
    """Exactly ``size`` bytes: an archive may lie about them."""
    while size and (block := source.read(min(_BLOCK, size))):
        out.write(block)
        size -= len(block)
    if size:
        raise EOFError("a file in it is cut short")


def _leaves(name: str) -> bool:
    """Whether a member of this name would be written outside the folder."""
    windows = PureWindowsPath(name)
    return bool(PurePosixPath(name).is_absolute() or windows.root or windows.drive or ".." in windows.parts)
