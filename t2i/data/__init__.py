"""The data sets. Each is read into one :class:`~t2i.data.index.Index`; everything after that is the same for all."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from t2i import paths
from t2i.config import Config
from t2i.data import aviary, aviary_captions, coco, cub, download, flowers, folder
from t2i.data.download import Download
from t2i.data.index import Example, Index
from t2i.errors import UserError, check_name

__all__ = ["DATASETS", "DataSet", "Example", "Index", "load", "prepare", "read", "root"]


@dataclass(frozen=True)
class DataSet:
    """All that sets one data set apart; a new one is an entry of ``DATASETS`` and the function that reads it.

    ``read`` takes a root and returns the index, with the faults of single files among its problems. ``published`` is
    the name in ``data/published.json``, None where no paper has figures. ``download`` is what is fetched for it;
    ``make`` brings a set without downloads to a root, with those of ``options`` (name: what stands for its value) that
    were given, and ``ensure`` does so whenever it is read. ``folder`` is the name of the default folder for a size of
    images, None the set's own name. ``attributes`` says which attributes of a picture its caption names, where that is
    known.
    """

    read: Callable[[Path], Index]
    published: str | None = None
    download: Download | None = None
    make: Callable[..., None] | None = None
    options: dict[str, str] = field(default_factory=dict)
    ensure: Callable[[Path], None] | None = None
    folder: Callable[[int], str] | None = None
    attributes: Callable[[str], dict] | None = None


DATASETS: dict[str, DataSet] = {
    "aviary": DataSet(
        cub.read,  # drawn in the CUB layout
        make=aviary.write,
        options={"size": "PIXELS"},
        ensure=aviary.ensure,
        folder=aviary.folder,
        attributes=aviary_captions.named_attributes,
    ),
    "aviary-200": DataSet(
        cub.read,
        make=partial(aviary.write, count=aviary.LARGE),
        options={"size": "PIXELS"},
        ensure=partial(aviary.ensure, count=aviary.LARGE),
        folder=partial(aviary.folder, name="aviary-200"),
        attributes=aviary_captions.named_attributes,
    ),
    "cub": DataSet(cub.read, published="CUB", download=cub.DOWNLOAD),
    "flowers": DataSet(flowers.read, published="Oxford-102", download=flowers.DOWNLOAD),
    "coco": DataSet(coco.read, published="COCO", download=coco.DOWNLOAD),
    "folder": DataSet(folder.read, make=folder.prepare_from, options={"images": "DIR", "captions": "FILE.csv"}),
}


def read(name: str, root: Path | None = None) -> Index:
    """The data set ``name`` at ``root``, by default its own place in ``T2I_DATA``; Aviary is drawn first where it is
    absent.

    Raises :class:`UserError` for an unknown name, a missing root or a missing index file; faults of single images and
    captions are in :attr:`Index.problems`.
    """
    entry = _entry(name)
    root = Path(root or _default_root(name))
    if entry.ensure:
        with paths.writing(root):
            entry.ensure(root)
    if not root.is_dir():
        options = "".join(f" --{option} {value}" for option, value in entry.options.items())
        command = f"Prepare it: python -m t2i data prepare --dataset {name} --root {root}{options}"
        mend = command if entry.download or entry.make else "Put the data set there, or say where it lies with --root."
        raise UserError(f"There is no folder {root}", mend)
    return replace(entry.read(root), name=name)


def load(config: Config) -> Index:
    """The data set that ``config`` trains on, without faults; :class:`UserError` names the first one that there is."""
    return read(config.dataset, root(config)).checked()


def root(config: Config) -> Path:
    """Where the data set of ``config`` lies: its ``root``, or the set's own place in ``T2I_DATA``."""
    return Path(config.root) if config.root else _default_root(config.dataset, config.image_size)


def prepare(name: str, root: Path, **options) -> None:
    """Download, draw or import the data set ``name`` to ``root``; ``options`` are those of its entry.

    Raises :class:`UserError` for an unknown name, for options that it does not have, and for what cannot be had.
    """
    entry = _entry(name)
    for option in options.keys() - entry.options.keys():
        raise UserError(f"--dataset {name} has no use for --{option}", "Leave it out.")
    if not (entry.download or entry.make):
        raise UserError(f"There is nothing to download or to draw for {name}", f"Put it at {root} by hand.")
    with paths.writing(root):
        if entry.download:
            download.prepare(entry.download, root)
        else:
            entry.make(root, **options)


def _entry(name: str) -> DataSet:
    check_name("data set", name, DATASETS)
    return DATASETS[name]


def _default_root(name: str, image_size: int = 64) -> Path:
    own = _entry(name).folder
    return paths.data_root() / (own(image_size) if own else name)
