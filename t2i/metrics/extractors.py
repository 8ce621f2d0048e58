"""The networks in whose feature space images are compared, as torch-fidelity's extractors.

Each takes uint8 images (B, 3, H, W) of any size and resizes inside, as its docstring says. Making one moves no random
generator.
"""

import copy
from hashlib import sha256
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import inception_v3

from t2i import aviarynet, weights
from t2i.data.images import resize_by_pillow
from t2i.metrics.finetuned import BirdsInception, FlowersInception
from t2i.metrics.lite0_extractor import Lite0Extractor
from t2i.metrics.protocols import Protocol, find


class AviaryNetExtractor(FeatureExtractorBase):
    """AviaryNet at 64 px (bilinear with antialiasing): "pool" (B, 128) for FID and KID, "body" (B, 9) for IS.

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
    """The TensorFlow FID's network at 299 px (bilinear as in TensorFlow 1): torch-fidelity's "inception-v3-compat",
    with weights that are checked first."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **options):
        file = str(weights.inception_weights(feature_extractor_weights_path))
        with torch.random.fork_rng(devices=[]):  # it draws the weights that the file then replaces
            super().__init__(name, features_list, feature_extractor_weights_path=file, **options)


class PytorchFid(InceptionTf):
    """The package pytorch-fid from 0.2 on, which papers after 2019 measure with: the TensorFlow FID's network with
    bilinear resizing as torch has it, without antialiasing, and pixels 2x / 255 − 1: "2048" (B, 2048). DM-GAN's own FID
    is an older state of it: :class:`InceptionLegacy`."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = F.interpolate(images.float() / 255, (299, 299), mode="bilinear", align_corners=False) * 2 - 1
        for name, layer in self.named_children():  # in the order in which they follow each other
            if name != "fc":
                x = layer(x)
        return (x.flatten(1),)

    @staticmethod
    def get_provided_features_list():
        return ("2048",)


class InceptionLegacy(FeatureExtractorBase):
    """The network of DM-GAN's FID, pytorch-fid at commit 802da39, at 299 px (bilinear by Pillow): "2048" (B, 2048),
    torchvision's pooled features.

    It is wrong twice. The weights are torchvision's ImageNet ones instead of the TensorFlow network's that defines the
    FID; and :func:`legacy_affine`, meant for ImageNet-normalised input, is applied to pixels in [0, 1], so the network
    sees dim pictures of little contrast. It is kept because the published figures of AttnGAN, DM-GAN and their
    successors (23.98, 16.09, ...) were measured with it, and no released package gives them.
    """

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **_):
        super().__init__(name, features_list)
        file = weights.legacy_weights(feature_extractor_weights_path)
        with torch.device("meta"):
            net = inception_v3(weights=None, transform_input=False, init_weights=False)
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), assign=True)
        net.fc, net.AuxLogits = nn.Identity(), None
        self.net = net.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.net(legacy_affine(resize_by_pillow(images, 299).float() / 255)),)

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


EXTRACTORS = {
    "aviarynet1": AviaryNetExtractor,
    "lite0": Lite0Extractor,
    "inception-tf": InceptionTf,
    "inception-legacy": InceptionLegacy,
    "pytorch-fid": PytorchFid,
    "inception-birds": BirdsInception,
    "inception-flowers": FlowersInception,
}


def load(
    protocol: Protocol, device: str | torch.device = "cpu", file: Path | str | None = None
) -> FeatureExtractorBase:
    """The network of ``protocol`` with the layers that it needs, on ``device``; ``file`` holds its weights, where they
    do not lie at their usual place. Raises :class:`UserError` for an unknown extractor and for missing weights."""
    kind = find("extractor", protocol.extractor, EXTRACTORS)
    layers = [layer for layer in dict.fromkeys((protocol.fid_layer, protocol.isc_layer)) if layer]
    made = kind(protocol.extractor, layers, feature_extractor_weights_path=file)
    return made.requires_grad_(False).eval().to(device)


def place(extractor: nn.Module) -> torch.device:
    """Where ``extractor`` computes."""
    weights = chain(extractor.parameters(), extractor.buffers())
    return next((value.device for value in weights), torch.device("cpu"))


def digest(extractor: nn.Module) -> str:
    """The sha256 of all weights."""
    found = sha256()
    for name, value in extractor.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().contiguous().numpy())
    return found.hexdigest()
