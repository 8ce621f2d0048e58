"""The pickled metadata of the official repositories (AttnGAN, DM-GAN, StackGAN), read without running any of it.

A pickle is a program that names functions and calls them. Here a name that is not on a short list is refused, and a
call of one that is on it is only written down; what NumPy would have made of it is then built from its bytes. NumPy's
own constructors are not called either: given a forged dtype they read bytes as pointers.
"""

import pickle
import re
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from t2i import contents
from t2i.data.captions import Vocabulary
from t2i.errors import UserError, refused

_ANEW = "Copy or download it anew."
_WIDTH = 1024  # of a Char-CNN-RNN embedding


class Captions(NamedTuple):
    """The captions of both splits as word numbers, image after image, and the vocabulary that numbers them."""

    train: list[list[int]]
    test: list[list[int]]
    vocabulary: Vocabulary


def captions(path: Path) -> Captions:
    """The content of ``captions.pickle``; ``len(vocabulary)`` is 5,450 for the birds and 27,297 for COCO.

    Raises :class:`UserError` for a file that cannot be read or is refused, another structure, a vocabulary that has
    gaps, doubles or contradictions, and a caption with a number outside it.
    """
    holds = "the list [train captions, test captions, ixtoword, wordtoix]"
    data = _load(path)
    sound = isinstance(data, list) and [type(part) for part in data] == [list, list, dict, dict]
    _check(sound, path, "has another structure", holds)
    *splits, ixtoword, wordtoix = data
    words = _words(path, ixtoword, wordtoix)
    for name, split in zip(("train", "test"), splits, strict=True):
        lists = all(type(caption) is list for caption in split)
        sound = lists and set(map(type, chain.from_iterable(split))) <= {int}
        _check(sound, path, f"has {name} captions that are not lists of word numbers", holds)
        strange = {number for caption in split for number in caption if not 0 <= number < len(words)}
        problem = f"has {len(words)} words, and {name} captions with the word number {min(strange, default=None)}"
        _check(not strange, path, problem, holds)
    return Captions(*splits, Vocabulary(words[1:]))


def filenames(path: Path) -> list[str]:
    """The image keys of ``filenames.pickle``, such as ``002.Laysan_Albatross/Laysan_Albatross_0002_1027``.

    Raises :class:`UserError` for a file that cannot be read, is refused, or holds anything but a list of texts.
    """
    return _list_of(str, path, "a list of image names")


def class_info(path: Path) -> list[int]:
    """The class of every image, from ``class_info.pickle``; NumPy integers become ``int``.

    Raises :class:`UserError` for a file that cannot be read, is refused, or holds anything but a list of integers.
    """
    return _list_of(int, path, "a list of class numbers")


def embeddings(path: Path) -> np.ndarray:
    """The float32 (images, captions, 1024) array of ``char-CNN-RNN-embeddings.pickle``.

    The file holds that array or a list with one (captions, 1024) array for each image. Raises :class:`UserError` for
    a file that cannot be read, is refused, has other shapes, or has images with different numbers of captions.
    """
    holds = f"one (captions, {_WIDTH}) array of floats for each image, with as many captions for every image"
    data = _load(path)
    arrays = list(data) if isinstance(data, np.ndarray) and data.ndim == 3 else data
    _check(isinstance(arrays, list) and arrays, path, "has another structure", holds)
    for image, array in enumerate(arrays):
        sound = isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind == "f"
        _check(sound and array.shape[1] == _WIDTH and array.size, path, f"has no embeddings for image {image}", holds)
        problem = f"has {len(arrays[0])} captions for image 0 and {len(array)} for image {image}"
        _check(len(array) == len(arrays[0]), path, problem, holds)
    return np.ascontiguousarray(np.stack(arrays), dtype=np.float32)


def _words(path: Path, ixtoword: dict, wordtoix: dict) -> list[str]:
    holds = f"the words numbered from 0, {Vocabulary.END} first, as {{number: word}} and as {{word: number}}"
    numbered = all(type(number) is int for number in ixtoword) and set(ixtoword) == set(range(len(ixtoword)))
    _check(numbered, path, f"does not number its {len(ixtoword)} words from 0 without a gap", holds)
    words = [ixtoword[number] for number in range(len(ixtoword))]
    _check(all(type(word) is str for word in words), path, "has words that are not text", holds)
    _check(words[:1] == [Vocabulary.END], path, f"does not start its vocabulary with {Vocabulary.END}", holds)
    numbers: dict[str, int] = {}
    for number, word in enumerate(words):
        first = numbers.setdefault(word, number)
        _check(first == number, path, f"has the word {word[:40]!r} twice, as number {first} and as {number}", holds)
    _check(wordtoix == numbers, path, "disagrees with itself: its ixtoword and wordtoix differ", holds)
    return words


def _list_of(kind: type, path: Path, holds: str) -> list:
    data = _load(path)
    _check(isinstance(data, list) and len(data) > 0, path, "has another structure", holds)
    _check(all(type(item) is kind for item in data), path, f"has entries that are not of type {kind.__name__}", holds)
    return data


def _check(sound: Any, path: Path, problem: str, holds: str) -> None:
    if not sound:
        raise UserError(f"{path} {problem}", f"It should hold {holds}: take the official file.")


def _load(path: Path) -> Any:
    try:
        with Path(path).open("rb") as file:
            data = _Unpickler(file, encoding="latin1").load()
        return [_plain(item) for item in data] if isinstance(data, list) else _plain(data)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", "Name a file of the official metadata.") from None
    except _Refused as error:
        problem = f"{path} asks for {error}, which no metadata needs: it was not opened, and nothing of it was run"
        raise UserError(problem, "Trust it with no other program either, and take the official file.") from None
    except Exception as error:  # a damaged pickle raises whatever its misread instructions happen to raise
        if isinstance(error, OSError) and (found := refused(error)):
            raise UserError(f"{path} cannot be read: {found.problem}", found.mend) from error
        what, mend = contents.told(path, texts=False) or ("", "")  # pickles of protocol 0 look like text
        what, mend = (f"it {what}, and no pickle", mend) if mend else ("it is cut short or no pickle", _ANEW)
        raise UserError(f"{path} cannot be read: {what} ({type(error).__name__})", mend) from error


_ALLOWED = {
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",  # protocol 5
    "_codecs.encode",  # how Python 3 writes bytes for Python 2
}


class _Refused(pickle.UnpicklingError):
    """A pickle asked for something that is not on the list; the message names it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> "_Call":
        asked = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # its name since NumPy 2
        if asked not in _ALLOWED:
            raise _Refused(repr(f"{module}.{name}"[:100]))
        return _Call(asked)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("a persistent id")


class _Call:
    """A name of the list, with the arguments that the pickle calls it with and the state that it then gives."""

    __slots__ = __match_args__ = ("name", "arguments", "state")

    def __init__(self, name: str, arguments: tuple | None = None):
        self.name, self.arguments, self.state = name, arguments, None

    def __call__(self, *arguments: Any) -> "_Call":
        return _Call(self.name, arguments)

    def __setstate__(self, state: Any) -> None:  # without it a pickle could set any attribute
        self.state = state


def _plain(item: Any) -> Any:
    """``item`` itself, or the array or number that NumPy would have made of the call."""
    match item:
        case _Call(
            "numpy.core.multiarray._reconstruct", [_Call("numpy.ndarray", None), *_], [_, shape, dtype, fortran, raw]
        ):
            return _array(raw, dtype, shape, "F" if fortran else "C")
        case _Call("numpy.core.numeric._frombuffer", [raw, dtype, shape, "C" | "F" as order]):
            return _array(raw, dtype, shape, order)
        case _Call("numpy.core.numeric._frombuffer", [raw, dtype, shape, "K", axes]):
            return _array(raw, dtype, shape).transpose(axes)
        case _Call("numpy.core.multiarray.scalar", [dtype, raw]):
            return _array(raw, dtype, ()).item()
        case _Call(name):
            raise _Refused(f"{name!r} in another way than arrays do")
    return item


def _array(raw: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray:
    match dtype:
        case _Call("numpy.dtype", [str(kind), *_], [3, "<" | ">" | "|" as end, None, None, None, -1, -1, 0]):
            if not re.fullmatch("b1|[iu][1248]|f[248]", kind):
                raise _Refused(f"an array of the type {kind[:20]!r}")
        case _:
            raise _Refused("an array of something else than numbers")
    match raw:
        case str(text) | _Call("_codecs.encode", [str(text), "latin1"]):  # str: the byte strings of Python 2
            raw = text.encode("latin1")
        case _Call(name):
            raise _Refused(f"{name!r} in another way than arrays do")
    return np.frombuffer(raw, end + kind).reshape(shape, order=order)  # which fails where the bytes do not fill it
