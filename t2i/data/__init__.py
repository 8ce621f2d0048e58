"""The data sets. Each is read into one :class:`~t2i.data.index.Index`; everything after that is the same for all."""

from pathlib import Path

from t2i.config import Config
from t2i.data import aviary, coco, cub, flowers, folder
from t2i.data.index import Example, Index
from t2i.errors import UserError, check_name

__all__ = ["READERS", "Example", "Index", "load", "read"]

READERS = {
    "aviary": cub.read,  # drawn in the CUB layout
    "cub": cub.read,
    "flowers": flowers.read,
    "coco": coco.read,
    "folder": folder.read,
}


def read(name: str, root: Path) -> Index:
    """The data set ``name`` at ``root``; Aviary is drawn first where it is absent.

    Raises :class:`UserError` for an unknown name, a missing root or a missing index file; faults of single images and
    captions are in :attr:`Index.problems`.
    """
    root = Path(root)
    check_name("data set", name, READERS)
    if name == "aviary":
        aviary.ensure(root)
    if not root.is_dir():
        extra = " --images DIR --captions FILE.csv" if name == "folder" else ""
        mend = f"Prepare it: python -m t2i data prepare --dataset {name} --root {root}{extra}"
        raise UserError(f"There is no folder {root}", mend)
    return READERS[name](root)


def load(config: Config) -> Index:
    """The data set that ``config`` trains on, without faults; :class:`UserError` names the first one that there is."""
    return read(config.dataset, config.root).checked()
