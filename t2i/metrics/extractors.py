"""The networks in whose feature space images are compared, registered with torch-fidelity under the protocols' names.

Each takes uint8 images (B, 3, H, W) of any size and resizes inside, as its protocol says.
"""

import copy
import hashlib
import http.client
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torchvision.models import Inception_V3_Weights, inception_v3

from t2i import paths
from t2i.errors import UserError
from t2i.metrics import aviarynet

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

    def mend(self) -> str:
        size = f"{self.size:,} bytes, " if self.size else ""
        return f"Put {self.name} ({size}sha256 {self.sha256}) there; it comes from {self.url}"

    def fault(self, path: Path) -> str | None:
        """Why ``path`` is not this file, or None."""
        if not path.is_file():
            return "is missing"
        if self.size and path.stat().st_size != self.size:
            return f"has {path.stat().st_size:,} bytes instead of {self.size:,}"
        with open(path, "rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest().startswith(self.sha256)
        return None if same else "is not the released file: its sha256 differs"


INCEPTION_TF = WeightsFile(
    URL_INCEPTION_V3, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2", 95_628_359
)
INCEPTION_LEGACY = WeightsFile(Inception_V3_Weights.IMAGENET1K_V1.url, "0cc3c7bd")


def inception_weights(path: Path | str | None = None) -> Path:
    """The weights of the TensorFlow FID: at ``path``, or in ``$TORCH_HOME/hub/checkpoints``, or downloaded into it.

    Raises :class:`UserError` with file, size, hash and folder where none of these has it.
    """
    return _locate(INCEPTION_TF, path)


def legacy_weights(path: Path | str | None = None) -> Path:
    """torchvision's ImageNet weights, found as in :func:`inception_weights`."""
    return _locate(INCEPTION_LEGACY, path)


def _locate(weights: WeightsFile, path: Path | str | None) -> Path:
    default = Path(torch.hub.get_dir()) / "checkpoints" / weights.name
    if path is None and not default.is_file():
        try:
            paths.write_atomically(default, lambda temporary: _download(weights, temporary))
        except (OSError, http.client.HTTPException) as error:
            raise UserError(f"{default} is missing and the download failed ({error})", weights.mend()) from error
    found = default if path is None else Path(path).expanduser()
    if fault := weights.fault(found):
        raise UserError(f"{found} {fault}", weights.mend())
    return found


def _download(weights: WeightsFile, path: Path) -> None:
    with urllib.request.urlopen(weights.url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
    if fault := weights.fault(path):
        raise OSError(f"what came {fault}")


class AviaryNetExtractor(FeatureExtractorBase):
    """AviaryNet: "pool" (B, 128) for FID and KID, "body" (B, 9) for IS.

    With nine body colours the IS lies between 1 (all images alike, or none certain) and 9 (each colour certain and
    equally often); it is not to be read as an Inception's.
    """

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)
        # torch-fidelity moves its extractor to the GPU in place, and load() hands everyone the same network.
        self.net = copy.deepcopy(aviarynet.load())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits = self.net.embed(images.float() / 127.5 - 1)
        found = {"pool": features, "body": logits["body"]}
        return tuple(found[feature] for feature in self.features_list)

    @staticmethod
    def get_provided_features_list():
        return "pool", "body"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "body" if metric == "isc" else "pool"

    @staticmethod
    def can_be_compiled():
        return False


class InceptionTf(FeatureExtractorInceptionV3):
    """torch-fidelity's "inception-v3-compat", the TensorFlow FID's network, with weights that are checked first."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **options):
        weights = str(inception_weights(feature_extractor_weights_path))
        super().__init__(name, features_list, feature_extractor_weights_path=weights, **options)


class InceptionLegacy(FeatureExtractorBase):
    """The network of DM-GAN's FID, pytorch-fid at commit 802da39: "2048" (B, 2048), torchvision's pooled features.

    It is wrong twice. The weights are torchvision's ImageNet ones instead of the TensorFlow network's that defines the
    FID; and :func:`legacy_affine`, meant for ImageNet-normalised input, is applied to pixels in [0, 1], so the network
    sees dim pictures of little contrast. It is kept because the published figures of AttnGAN, DM-GAN and their
    successors (23.98, 16.09, ...) were measured with it, and no released package gives them.
    """

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **_):
        super().__init__(name, features_list)
        net = inception_v3(weights=None, transform_input=False, init_weights=False)
        net.load_state_dict(torch.load(legacy_weights(feature_extractor_weights_path), weights_only=True))
        net.fc, net.AuxLogits = nn.Identity(), None
        self.net = net.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        resized = torch.stack([_resize_by_pillow(image, 299) for image in images.cpu()])
        return (self.net(legacy_affine(resized.to(images.device).float() / 255)),)

    @staticmethod
    def get_provided_features_list():
        return ("2048",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "2048"

    @staticmethod
    def can_be_compiled():
        return False


def legacy_affine(pixels: Tensor) -> Tensor:
    """What takes ImageNet-normalised input to [-1, 1], applied to pixels (..., 3, H, W) in [0, 1] as DM-GAN's FID does.

    Red comes out in [-.03, .428], green in [-.088, .36] and blue in [-.188, .262].
    """
    mean = pixels.new_tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = pixels.new_tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    return pixels * (std / 0.5) + (mean - 0.5) / 0.5


def _resize_by_pillow(image: Tensor, side: int) -> Tensor:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


EXTRACTORS = {
    "aviarynet1": AviaryNetExtractor,
    "inception-tf": InceptionTf,
    "inception-legacy": InceptionLegacy,
}


def register() -> None:
    """Make :data:`EXTRACTORS` known to torch-fidelity; may be called again."""
    for name, extractor in EXTRACTORS.items():
        if name not in FEATURE_EXTRACTORS_REGISTRY:
            register_feature_extractor(name, extractor)
