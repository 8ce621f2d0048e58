"""Getting the real data sets: downloads that resume and are verified."""

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from itertools import count
from pathlib import Path, PurePosixPath

from t2i import paths
from t2i.data import archives
from t2i.errors import UserError
from t2i.progress import tqdm

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
            _bring(file, root)
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


def _bring(file: File, root: Path) -> None:
    """Unpack to ``root`` what ``file`` gives: all that is in the archive, or, where that is packed into further
    folders, what is wanted of it."""
    archive = fetch(file, root / "archives")
    with archives.unpacked(archive, root) as place:
        found = sorted(place.rglob(PurePosixPath(file.gives).parts[0]), key=lambda path: (len(path.parts), str(path)))
        if not found:
            problem = f"{archive} holds no {file.gives}"
            raise UserError(problem, "Delete it, and run the command again to download it.")
        entries = list(place.iterdir()) if found[0].parent == place else found[:1]
        for entry in entries:
            if os.path.lexists(root / entry.name):
                raise UserError(f"{root / entry.name} is there already", f"Move it away to unpack {archive.name}.")
        for entry in entries:
            entry.replace(root / entry.name)


def _prepare_captions(captions: Captions, root: Path) -> None:
    """Unpack the captions unless they are there: put by hand, or by an earlier call from the same archive. What an
    earlier call took from another archive, or by mistake, is moved aside."""
    present = (root / folder for folder in captions.folders if (root / folder).is_dir())
    there = next((folder for folder in present if not _only_hidden(folder)), None)
    kept, record = root / "archives" / captions.file.name, root / "archives" / f".{captions.file.name}.json"
    if there and not _replaced(kept, record, there):
        return
    target = there or root / captions.folders[0]
    by_hand = f"Put Reed's captions by hand at {target}/{captions.first}/ and so on; his own are at {captions.drive} ."
    try:
        archive = fetch(captions.file, root / "archives")
    except UserError as error:
        raise UserError(error.problem, by_hand) from None
    with archives.unpacked(archive, root) as place:
        found = archives.caption_folder(place, captions.first)
        if found is None:
            raise UserError(f"{archive} holds no folder {captions.first} with texts", by_hand)
        if os.path.lexists(target):
            aside = next(path for n in count(1) if not os.path.lexists(path := root / f"{target.name}.before-{n}"))
            target.rename(aside)
            tqdm.write(f"The captions that were at {target} are at {aside} now")
        found.replace(target)
    paths.write_json(record, {"sha256": _sha256(archive), "folder": target.relative_to(root).as_posix()})


def _only_hidden(folder: Path) -> bool:
    """Whether ``folder`` holds files and none of them is data: an archive made on a Mac adds such to each file."""
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()]
    return bool(names) and all(map(archives.is_hidden, names))


def _replaced(archive: Path, record: Path, there: Path) -> bool:
    """Whether the captions at ``there`` were unpacked from another archive than the one that lies there now."""
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
        made = there == record.parent.parent / before["folder"]
        return made and archive.is_file() and before["sha256"] != _sha256(archive)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(file: Path) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
