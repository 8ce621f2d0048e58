"""Reads the floats of a TensorFlow checkpoint without TensorFlow.

Both versions are a table of LevelDB's format, sorted keys in blocks, with messages of Protocol Buffers in it. Version 2
is NAME.index, whose entries say where each tensor lies in NAME.data-00000-of-00001; version 1, of the time of StackGAN,
is one file that holds the tensors themselves, in blocks that Snappy may have compressed.
"""

import math
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2i.errors import UserError, refused

_MAGIC = 0xDB4775248B80FB57  # at the end of a table
_FOOTER = 48
_FLOAT = 1  # DT_FLOAT
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # how a field of a message is written


def read(path: Path | str, wanted: Callable[[str], bool] = bool) -> dict[str, Tensor]:
    """The float32 tensors of the checkpoint at ``path`` whose names are ``wanted``. ``path`` is what TensorFlow calls
    it, NAME of NAME.index or the one file of version 1, or NAME.index itself.

    Raises :class:`UserError` where it is missing, damaged, incomplete, or no checkpoint.
    """
    path = Path(path)
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        if index.is_file():
            return dict(_version_2(index, prefix, wanted))
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return dict(_version_1(data, wanted))
    except FileNotFoundError as error:
        mend = "Name the checkpoint as TensorFlow does, model.ckpt-5000, and keep its .index and .data files together."
        raise UserError(f"{error.filename} is missing", mend) from error
    except OSError as error:
        raise refused(error, path) or error from None
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        problem = f"{path} cannot be read as a checkpoint of TensorFlow ({error})"
        raise UserError(problem, "Copy it anew, with all files of its name.") from error


def _version_2(index: Path, prefix: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Tensor]]:
    shards = 1
    for key, value in _table(index.read_bytes()):
        entry = dict(_fields(value))
        if not key:
            shards = entry.get(1, 1)
        elif entry.get(1) == _FLOAT and wanted(name := key.decode()):
            shape = _shape(entry.get(2, b""))
            part = prefix.with_name(f"{prefix.name}.data-{entry.get(3, 0):05d}-of-{shards:05d}")
            values = np.fromfile(part, "<f4", math.prod(shape), offset=entry.get(4, 0))
            yield name, _tensor(values, shape, name)


def _version_1(data, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Tensor]]:
    shapes = {}
    for key, value in _table(data):
        saved = dict(_fields(value))
        if not key:  # what there is; comes first
            described = (dict(_fields(field)) for number, field in _fields(saved[1]) if number == 1)
            shapes = {str(field[1], "utf-8"): _shape(field[2]) for field in described if field.get(3) == _FLOAT}
        else:
            piece = dict(_fields(saved[2]))
            name = str(piece[1], "utf-8")
            if name in shapes and wanted(name):
                values = np.frombuffer(dict(_fields(piece[3])).get(5, b""), "<f4").copy()
                yield name, _tensor(values, shapes[name], name)


def _tensor(values: np.ndarray, shape: list[int], name: str) -> Tensor:
    if len(values) != math.prod(shape):
        raise ValueError(f"{name} has {len(values):,} values where its shape has {math.prod(shape):,}")
    return torch.from_numpy(values.astype(np.float32, copy=False).reshape(shape))


def _shape(message) -> list[int]:
    return [dict(_fields(field)).get(1, 0) for number, field in _fields(message) if number == 2]


def _table(data) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it does not end as one")
    footer = data[-_FOOTER:]
    at = 0
    for _ in range(2):  # where the block of block names begins and its size, which nothing needs
        _, at = _varint(footer, at)
    for _, place in _block(data, *_handle(footer[at:])):
        yield from _block(data, *_handle(place))


def _handle(data) -> tuple[int, int]:
    offset, at = _varint(data, 0)
    return offset, _varint(data, at)[0]


def _block(data, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    content, compressed = data[offset : offset + size], data[offset + size]
    if compressed:
        content = _unsnappy(content)
    if len(content) < 8:
        raise ValueError("a block of it is missing")
    end = len(content) - 4 - 4 * int.from_bytes(content[-4:], "little")  # places where a key is written in full
    at, key = 0, b""
    while at < end:
        shared, at = _varint(content, at)
        fresh, at = _varint(content, at)
        length, at = _varint(content, at)
        key = key[:shared] + content[at : at + fresh]
        at += fresh + length
        yield key, content[at - length : at]


def _varint(data, at: int) -> tuple[int, int]:
    """The number at ``at``, seven bits a byte, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _fields(message) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and values of the fields of a message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind in (_EIGHT, _BYTES, _FOUR):
            size, at = _varint(message, at) if kind == _BYTES else ({_EIGHT: 8, _FOUR: 4}[kind], at)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError("a message of it is damaged")
        yield tag >> 3, value


def _unsnappy(data: bytes) -> bytes:
    """``data``, in which Snappy has written bytes and references to earlier bytes."""
    size, at = _varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        kind, length = tag & 3, tag >> 2
        if kind == 0:  # bytes as they are
            if length >= 60:
                width = length - 59
                length, at = int.from_bytes(data[at : at + width], "little"), at + width
            out += data[at : at + length + 1]
            at += length + 1
            continue
        width = (0, 1, 2, 4)[kind]
        back, at = int.from_bytes(data[at : at + width], "little"), at + width
        if kind == 1:
            back, length = back | (length >> 3) << 8, (length & 7) + 3
        for _ in range(length + 1):  # one by one: a reference may reach into what it writes
            out.append(out[-back])
    if len(out) != size:
        raise ValueError("a block of it is damaged")
    return bytes(out)
