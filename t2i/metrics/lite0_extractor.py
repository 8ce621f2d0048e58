"""EfficientNet-Lite0 as torch-fidelity wants it."""

import copy

from torch import Tensor
from torch_fidelity import FeatureExtractorBase

from t2i import lite0


class Lite0Extractor(FeatureExtractorBase):
    """EfficientNet-Lite0 at 224 px (bilinear with antialiasing): "pool" (B, 1280) for FID and KID, "logits" (B, 1000)
    for IS, of ImageNet's classes. No figure on it is to be read as an Inception's."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)
        self.net = copy.deepcopy(lite0.load())  # torch-fidelity moves it to the GPU in place

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits = self.net.embed(images.float() / 127.5 - 1)
        found = {"pool": features, "logits": logits}
        return tuple(found[feature] for feature in self.features_list)

    @staticmethod
    def get_provided_features_list():
        return "pool", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "pool"

    @staticmethod
    def can_be_compiled():
        return False
