"""What a file really is, whatever its name says: one sentence about it, and what to do about exactly that."""

import html
import json
import re
import tarfile
import zipfile
from pathlib import Path

from t2i.errors import UserError, refused

_HEAD = 1 << 16  # bytes that are looked at
_AGAIN = "Download it again."
_UNPACK = "Unpack it, and name the file inside."
_NO_PICTURE = "Name a file that is no picture."
_OTHER = "Take the release for PyTorch, a .pth file."

# The first bytes of what is found under the names of weights and pictures, what it is, and the mend.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, which stands for the file in a clone", "Fetch it: git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, which stands for the file in a clone", "Fetch it: git annex get"),
    (b"# xet version", "a Xet pointer, which stands for the file in a clone", "Fetch it: git xet pull"),
    (b"\x1f\x8b", "compressed by gzip", _UNPACK),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file, as Keras and MATLAB write", _OTHER),
    (b"MATLAB 5", "a MATLAB file", _OTHER),
    (b"\x93NUMPY", "a NumPy array", _OTHER),
    (b"GGUF", "a GGUF file, of a language model", _OTHER),
    (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1", "a Torch7 file, which Lua wrote", "Convert it to a state dict of PyTorch first."),
    (b"\3\0\0\0\1\0\0\0", "a Torch7 file, which Lua wrote", "Convert it to a state dict of PyTorch first."),
    (b"model_checkpoint_path:", "the list of TensorFlow's checkpoints", _OTHER),
    (b"\x89PNG", "a PNG picture", _NO_PICTURE),
    (b"\xff\xd8\xff", "a JPEG picture", _NO_PICTURE),
    (b"GIF8", "a GIF picture", _NO_PICTURE),
    (b"%PDF", "a PDF document", "Name another file."),
)
_READABLE = {(f"is {what}", mend) for _, what, mend in _BEGINNINGS if mend == _NO_PICTURE}
_TORCH = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # the number that torch.save once began its pickles with
_SUFFIXES = {
    **dict.fromkeys((".part", ".partial", ".crdownload", ".aria2"), ("an unfinished download", _AGAIN)),
    **dict.fromkeys((".pb", ".index", ".meta", ".tflite"), ("a TensorFlow file", _OTHER)),
    ".onnx": ("an ONNX file", _OTHER),
}


def told(path: Path, texts: bool = True, pictures: bool = True) -> tuple[str, str] | None:
    """What the file at ``path`` is, to be read after its name, and what to do, if that follows; None where nothing is
    known of it. Without ``texts`` a text is none of the known, without ``pictures`` a picture that
    every Pillow reads.

    Raises :class:`UserError` where it cannot even be opened.
    """
    path = Path(path)
    if path.is_dir():
        inside = ", ".join(sorted(file.name for file in path.iterdir())[:5])
        return f"is a folder ({inside or 'empty'})", "Name the file in it."
    head = _beginning(path)
    if not head:
        return "is empty", ""
    if not head.strip(b"\0"):
        return "begins with zeros alone: room was made for it, and it never came", ""
    looks = (_page, _begins, _archive, *([_text] if texts else []))
    found = next((found for look in looks if (found := look(path, head))), None)
    return None if found in _READABLE and not pictures else found


def refuse(path: Path, otherwise: tuple[str, str]) -> UserError:
    """The sentence for a file that could not be read: what it is, or ``otherwise``, (what is wrong, mend)."""
    try:
        what, mend = told(path) or otherwise
    except UserError as error:
        return error
    return UserError(f"{path} {what}", mend or otherwise[1])


def _beginning(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise refused(error) or UserError(f"{path} cannot be read ({error.strerror})", "Copy it anew.") from error


def _page(path: Path, head: bytes) -> tuple[str, str] | None:
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        return None
    title = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    said = html.unescape(title[1].decode("utf-8", "replace")).split() if title else []
    name = f" ({' '.join(said)[:60]})" if said else ""
    return f"is a web page{name}, not the file that its server should send", (
        "Open the address in a browser, confirm the download, and save what comes then."
    )


def _begins(path: Path, head: bytes) -> tuple[str, str] | None:
    for beginning, what, mend in _BEGINNINGS:
        if head.startswith(beginning):
            return f"is {what}", mend
    if head[4:8] == b"ftyp":
        kind = head[8:12].decode("latin1")
        names = {"av": "an AVIF picture", "he": "a HEIC picture", "mi": "a HEIC picture"}
        return f"is {names.get(kind[:2], 'a film')}", "Save it as PNG or JPEG."
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite file", _OTHER
    if head[:1] == b"\x08" and head[1] < 32 and head[2:3] == b"\x12" and head[3] < 64:
        return "is an ONNX file", _OTHER
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES or ".data-0000" in path.name:
        what, mend = _SUFFIXES.get(suffix) or _SUFFIXES[".pb"]  # TensorFlow's: NAME.data-00000-of-00001
        return f"is {what}", mend
    return None


def _archive(path: Path, head: bytes) -> tuple[str, str] | None:
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as packed:
                names = packed.namelist()
        except Exception:  # cut short, or damaged: zipfile stumbles in many ways
            return None
        if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
            script = any(name.endswith("constants.pkl") for name in names)
            return (
                ("is a TorchScript program, not weights", "Save the state_dict() of what it holds.") if script else None
            )
        if names and all(name.endswith(".npy") for name in names):
            return f"is a NumPy archive of {', '.join(names[:3])}", _OTHER
        return f"is a zip archive of {', '.join(names[:3]) or 'nothing'}", _UNPACK
    if head[257:262] == b"ustar":
        try:
            with tarfile.open(path) as packed:
                names = [member.name for member, _ in zip(packed, range(3), strict=False)]
        except (tarfile.TarError, OSError, EOFError):
            return "is a tar archive that is cut short", ""
        return f"is a tar archive of {', '.join(names) or 'nothing'}", _UNPACK
    return None


def _text(path: Path, head: bytes) -> tuple[str, str] | None:
    """JSON, other text, and pickles; weights and pictures are none."""
    if head[:1] == b"\x80" and _TORCH not in head[:32]:
        return "is a pickle that torch.save did not write", "Load it where it was made, and save its tensors alone."
    if b"\0" in head[:4096]:
        return None
    try:
        start = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return None
        start = head[: error.start].decode("utf-8-sig")
    if not all(character.isprintable() or character.isspace() for character in start[:4096]):
        return None
    if parts := _index_of_parts(path):
        mend = f"Load those ({parts[0]} …), and save all their tensors as one state dict."
        return f"is the index of weights that lie in {len(parts)} other files", mend
    first = (start.strip().splitlines() or [""])[0][:60]
    return f"is a text that begins {first!r}", "Name the file that is meant; if this one was downloaded, do so again."


def _index_of_parts(path: Path) -> list[str]:
    """The files that an index of Hugging Face names; none where the text at ``path`` is no such index, or
    too long for one."""
    if path.stat().st_size >= 1 << 24:
        return []
    try:
        return sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a JSON object, then that."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27
