"""Getting the real data sets: downloads that resume and are verified, archives that stay in their folder."""

import hashlib
import shutil
import stat
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm.auto import tqdm

from t2i.errors import UserError

_BLOCK = 1 << 20
_ATTEMPTS = 3  # per mirror; each goes on where the one before broke off
_TIMEOUT = 60  # seconds without a byte
RELEASES = "https://github.com/raphaelsenn/gan-text-to-image/releases/latest/download"  # Reed's captions, re-uploaded


@dataclass(frozen=True)
class File:
    """A file to download: its mirrors in order of trial, and what is known of it (size in bytes, md5; None: unknown).

    ``gives`` is what lies in the data set's folder once an archive is unpacked.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None
    gives: str = ""


@dataclass(frozen=True)
class Captions:
    """Reed's captions of one data set, which no stable address serves: a re-upload, and where they go by hand.

    ``folders`` are the places where the reader looks. ``first`` is the folder of the first class, by which the right
    one is known inside any archive. ``drive`` is Reed's own archive on Google Drive, which only a browser can fetch.
    """

    file: File
    folders: tuple[str, ...]
    first: str
    drive: str


@dataclass(frozen=True)
class Download:
    """All that is fetched for a data set."""

    files: tuple[File, ...]
    captions: Captions | None = None


def prepare(download: Download, root: Path) -> None:
    """Bring a data set to ``root``; what is there already is not fetched again.

    Archives are kept in ``root/archives`` and may be put there by hand. Raises :class:`UserError` naming the file that
    could not be had and where to put it.
    """
    root = Path(root)
    for file in download.files:
        if not file.gives:
            fetch(file, root)
        elif not (root / file.gives).exists():
            unpack(fetch(file, root / "archives"), root)
    if download.captions:
        _prepare_captions(download.captions, root)


def fetch(file: File, folder: Path) -> Path:
    """The path of ``file`` in ``folder``, downloaded where it is not there yet, and verified.

    The bytes go to ``<name>.part``, from which a later call resumes; the name itself only ever holds a verified file.
    Raises :class:`UserError` where no mirror gives the file, saying where to put it by hand.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.exists():
        wrong = _fault(file, path)
        if wrong:
            raise UserError(f"{path} is not the right file ({wrong})", "Delete it and run the command again.")
        return path
    reasons = []
    for url in file.urls:
        for _ in range(_ATTEMPTS):
            try:
                _continue(url, part, file)
            except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
                reasons.append(f"{url}: {error}")
                if isinstance(error, urllib.error.HTTPError):
                    break  # the server has answered; asking again changes nothing
                continue
            wrong = _fault(file, part)
            if not wrong:
                part.replace(path)
                return path
            reasons.append(f"{url}: {wrong}")
            part.unlink()
    raise UserError(f"Could not download {file.name} ({'; '.join(dict.fromkeys(reasons))})", _by_hand(file, path))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into ``folder``; each entry at its top level arrives whole or not at all.

    Raises :class:`UserError` for an archive that is broken, that holds a member which would leave the folder (by "..",
    an absolute path or a link), or whose top level is in ``folder`` already.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        place = Path(name)
        try:
            (_unpack_zip if zipfile.is_zipfile(archive) else _unpack_tar)(archive, place)
        except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
            mend = "Make room if the disk is full; otherwise delete it and download it again."
            raise UserError(f"{archive} cannot be unpacked ({error})", mend) from None
        entries = {entry: folder / entry.name for entry in place.iterdir()}
        for target in entries.values():
            if target.exists():
                raise UserError(f"{target} is there already", f"Move it away to unpack {archive.name}.")
        for entry, target in entries.items():
            entry.replace(target)


def _continue(url: str, part: Path, file: File) -> None:
    """Add to ``part`` what it lacks of ``url``."""
    have = part.stat().st_size if part.exists() and file.md5 else 0  # only a checksum tells whether two halves fit
    if file.size is not None and have >= file.size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206
        expected = int(answer.headers.get("Content-Length") or 0) + have * resumed
        bar = tqdm(total=expected or None, initial=have * resumed, desc=file.name, unit="B", unit_scale=True)
        with open(part, "ab" if resumed else "wb") as out, bar:
            while block := answer.read(_BLOCK):
                out.write(block)
                bar.update(len(block))
    if part.stat().st_size < expected:
        raise OSError(f"broke off after {part.stat().st_size:,} of {expected:,} bytes")


def _fault(file: File, path: Path) -> str:
    """What is wrong with the downloaded ``path``; "" where nothing is."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size:,} bytes instead of {file.size:,}"
    if file.md5 is not None:
        with open(path, "rb") as handle:
            md5 = hashlib.file_digest(handle, "md5").hexdigest()
        if md5 != file.md5:
            return f"its md5 is {md5} instead of {file.md5}"
    return ""


def _by_hand(file: File, path: Path) -> str:
    known = [f"{file.size:,} bytes"] if file.size is not None else []
    known += [f"md5 {file.md5}"] if file.md5 is not None else []
    return f"Put it by hand at {path}" + (f" ({', '.join(known)})." if known else ".")


def _prepare_captions(captions: Captions, root: Path) -> None:
    if any((root / folder).is_dir() for folder in captions.folders):
        return
    target = root / captions.folders[0]
    try:
        archive = fetch(captions.file, root / "archives")
    except UserError as error:
        mend = f"Put Reed's captions by hand at {target}/{captions.first}/ and so on; his own are at {captions.drive} ."
        raise UserError(error.problem, mend) from None
    with tempfile.TemporaryDirectory(dir=root, prefix=".captions-") as name:
        unpack(archive, Path(name))
        found = next((path.parent for path in Path(name).rglob(captions.first) if any(path.glob("*.txt"))), None)
        if found is None:
            raise UserError(f"{archive} holds no folder {captions.first}", f"Put the captions by hand at {target}.")
        found.replace(target)


def _leaves(name: str) -> bool:
    """Whether an archive member of this name would be written outside the folder."""
    windows = PureWindowsPath(name)
    return bool(PurePosixPath(name).is_absolute() or windows.root or windows.drive or ".." in windows.parts)


def _refusal(archive: Path, member: str) -> UserError:
    return UserError(
        f"{archive} holds {member!r}, which would be written outside its folder", "Get it from its source."
    )


def _unpack_tar(archive: Path, place: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tqdm(tar, desc=f"unpacking {archive.name}", unit="file"):
            if _leaves(member.name):
                raise _refusal(archive, member.name)
            try:
                tar.extract(member, place, filter="data")
            except tarfile.FilterError:
                raise _refusal(archive, member.name) from None


def _unpack_zip(archive: Path, place: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in tqdm(packed.infolist(), desc=f"unpacking {archive.name}", unit="file"):
            if _leaves(member.filename) or stat.S_ISLNK(member.external_attr >> 16):
                raise _refusal(archive, member.filename)
            if member.is_dir():
                (place / member.filename).mkdir(parents=True, exist_ok=True)
                continue
            target = place / member.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, _BLOCK)
