"""The format that a picture's file name promises: written so, or refused before anything is computed."""

import io
import warnings
from functools import cache
from pathlib import Path

from PIL import Image

from t2i import paths
from t2i.errors import UserError

_SOFTWARE = 305  # the tag of EXIF and TIFF for the program that wrote a picture
_NAME = "t2i"
_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}, "GIF": {"comment": _NAME}}
_NO_COLOURS = {".pbm", ".pgm", ".pfm", ".bw", ".rgba"}  # Pillow would write RGB under them all the same


def check(file: Path, width: int, height: int) -> None:
    """:class:`UserError` unless a picture of ``width`` × ``height`` px can be written to ``file``: for a suffix that
    promises no such format, a size that the format has no room for, and a file there that was not written by
    :func:`save`."""
    if file.is_dir():
        raise UserError(f"{file} is a folder", "Name a file.")
    kind = _format(file)
    if not _writes(kind, width, height):
        problem = f"{kind} has no room for a picture of {width:,} × {height:,} px, as {file} would be"
        raise UserError(problem, "Name a .png, or ask for fewer pictures.")
    if file.exists() and not _ours(file):
        problem = f"{file} is there, and was not drawn by this program"
        raise UserError(problem, "Name another file, or move that one away.")


def save(picture: Image.Image, file: Path) -> None:
    """Write an RGB picture in the format that the suffix of ``file`` names, whole or not at all, signed so that it may
    be written over."""
    kind, tags = _format(file), Image.Exif()
    tags[_SOFTWARE] = _NAME
    options = _OPTIONS.get(kind, {})
    paths.write_atomically(file, lambda temporary: picture.save(temporary, format=kind, exif=tags, **options))


def _ours(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            comment = picture.info.get("comment", b"")
            return picture.getexif().get(_SOFTWARE) == _NAME or comment in (_NAME, _NAME.encode())
    except Exception:  # no picture, or a damaged one
        return False


def _format(file: Path) -> str:
    Image.init()
    suffix = Path(file).suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind is None or suffix in _NO_COLOURS or not _writes(kind):
        known = [s for s, kind in Image.registered_extensions().items() if s not in _NO_COLOURS and _writes(kind)]
        what = f"ends in {suffix}, which is no format of pictures in colour" if suffix else "has no suffix"
        problem = f"{file} {what}, so it does not say how to write it"
        raise UserError(problem, f"Choose one of: {', '.join(sorted(known))}.")
    return kind


@cache
def _writes(kind: str, width: int = 70, height: int = 34) -> bool:
    """Whether Pillow writes RGB of this size in a format, and reads that size back where it reads the format."""
    if kind not in Image.SAVE:
        return False
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(action="ignore"):  # about formats that Pillow will give up
            Image.new("RGB", (width, height)).save(buffer, format=kind)
    except Exception:  # each format refuses in its own way
        return False
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(buffer) as picture:
            return picture.size == (width, height)
    except Exception:  # written, and not read, such as PDF
        return True
