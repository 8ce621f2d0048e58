"""Oxford-102 in 25 MB, for a machine without a network: ``python benchmarks/small_flowers.py FOLDER flowers.tar.gz``.

The photographs at 76 px, the size that models of 64 px crop from, with captions and lists as they are. ``FOLDER`` is a
prepared data set.
"""

import argparse
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from t2i.data import flowers
from t2i.data.files import first_folder

SIDE = 76  # of the shorter side, px
LISTS = ("imagelabels.mat", "trainvalclasses.txt", "testclasses.txt", "cat_to_name.json")


def small(photograph: Path) -> bytes:
    """The JPEG at ``SIDE`` px; one that is smaller stays so."""
    with Image.open(photograph) as picture:
        ratio = min(1, SIDE / min(picture.size))
        sides = [max(SIDE, round(side * ratio)) if ratio < 1 else side for side in picture.size]
        data = io.BytesIO()
        picture.convert("RGB").resize(sides, Image.Resampling.LANCZOS).save(data, "JPEG", quality=85, optimize=True)
    return data.getvalue()


def pack(root: Path, archive: Path) -> None:
    """Write the small copy of the data set at ``root`` as one tar file, whose members lie in no folder of their own."""
    flowers.read(root)  # says what is missing
    text = first_folder(root, flowers.TEXT_FOLDERS, "")
    photographs = sorted((root / "jpg").glob("*.jpg"))
    with tarfile.open(archive, "w:gz") as tar, ThreadPoolExecutor() as pool:
        for path in [*(root / name for name in LISTS), *sorted(text.rglob("*.txt"))]:
            if path.is_file():
                tar.add(path, path.relative_to(root))
        for photograph, data in zip(photographs, pool.map(small, photographs), strict=True):
            member = tarfile.TarInfo(f"jpg/{photograph.name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("archive", type=Path)
    given = parser.parse_args()
    pack(given.folder, given.archive)
    print(f"{given.archive}: {given.archive.stat().st_size / 1e6:.1f} MB")
