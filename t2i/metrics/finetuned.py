"""The Inceptions that StackGAN fine-tuned: the IS of birds and of flowers that the papers print is theirs."""

import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE_1,
)

from t2i import checkpoint, paths
from t2i.data.images import from_uint8, resize_by_pillow
from t2i.errors import UserError
from t2i.metrics import tf_checkpoint

_SOURCE = (
    "https://drive.google.com/open?id=0B3y_msrWZaXLMzNMNWhWdW0zVWs, linked by hanzhanggit/StackGAN-inception-model"
)
_AVERAGE = "/ExponentialMovingAverage"  # of a variable, which StackGAN measures with


class FineTunedInception(FeatureExtractorBase):
    """Inception v3 at 299 px (bilinear by Pillow), fine-tuned to classify the test classes of a data set: "logits"
    (B, classes) without the background, which the network has as class 0, and "2048" (B, 2048).

    The weights are StackGAN's checkpoint of TensorFlow, as it is, or a .npz or .safetensors of its variables under
    their names; by default whichever lies in the folder of the extractor's name in ``T2I_DATA``. The network has seen
    the test classes: a real set of these has the highest IS (22.71 on CUB), one of the train classes a low one (5.13).
    Where StackGAN leaves out what does not fill the last batch of 64 pictures, all count here.
    """

    classes: int
    folder: str  # of the release

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **_):
        super().__init__(name, features_list)
        path = Path(feature_extractor_weights_path or paths.data_root() / name).expanduser()
        file = _inside(path) if path.is_dir() else path
        if file is None or not (file.is_file() or file.with_name(f"{file.name}.index").is_file()):
            mend = f"Put {self.folder} there (model.ckpt-5000, from {_SOURCE}), or name the file with --weights."
            raise UserError(f"{path} holds no weights of {name}", mend)
        with torch.device("meta"):
            net = network(self.classes + 1)
        names = variables(net)
        mend = f"{name} is the network of {self.folder}, which has {self.classes} classes and a background."
        found = _in_our_layout(net, names, _read(file, set(names.values())))
        self.net = checkpoint.fill(net, found, file, name, lambda key: names.get(key, key), mend)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pooled = self.net.body(from_uint8(resize_by_pillow(images, 299))).mean(dim=(2, 3))
        found = {"2048": pooled, "logits": self.net.logits(pooled)[:, 1:]}
        return tuple(found[feature] for feature in self.features_list)

    @staticmethod
    def get_provided_features_list():
        return "2048", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "2048"

    @staticmethod
    def can_be_compiled():
        return False


class BirdsInception(FineTunedInception):
    """:class:`FineTunedInception` of the 50 test classes of CUB."""

    classes, folder = 50, "birds_valid299"


class FlowersInception(FineTunedInception):
    """:class:`FineTunedInception` of the 20 test classes of Oxford-102."""

    classes, folder = 20, "flowers_valid299"


def network(outputs: int) -> nn.ModuleDict:
    """Inception v3 with average pools as TensorFlow has them, its layers called as in StackGAN's checkpoint."""
    body = {
        "conv0": BasicConv2d(3, 32, kernel_size=3, stride=2),
        "conv1": BasicConv2d(32, 32, kernel_size=3),
        "conv2": BasicConv2d(32, 64, kernel_size=3, padding=1),
        "pool1": nn.MaxPool2d(3, 2),
        "conv3": BasicConv2d(64, 80, kernel_size=1),
        "conv4": BasicConv2d(80, 192, kernel_size=3),
        "pool2": nn.MaxPool2d(3, 2),
        "mixed_35x35x256a": InceptionA(192, pool_features=32),
        "mixed_35x35x288a": InceptionA(256, pool_features=64),
        "mixed_35x35x288b": InceptionA(288, pool_features=64),
        "mixed_17x17x768a": InceptionB(288),
        "mixed_17x17x768b": InceptionC(768, channels_7x7=128),
        "mixed_17x17x768c": InceptionC(768, channels_7x7=160),
        "mixed_17x17x768d": InceptionC(768, channels_7x7=160),
        "mixed_17x17x768e": InceptionC(768, channels_7x7=192),
        "mixed_17x17x1280a": InceptionD(768),
        "mixed_8x8x2048a": InceptionE_1(1280),
        "mixed_8x8x2048b": InceptionE_1(2048),
    }
    layers = nn.Sequential()
    for name, layer in body.items():
        layers.add_module(name, layer)
    return nn.ModuleDict({"body": layers, "logits": nn.Linear(2048, outputs)})


def variables(net: nn.ModuleDict) -> dict[str, str]:
    """The variable of the checkpoint that each weight of ``net`` is. A branch's convolutions are Conv, Conv_1, ... in
    their order: branch3x3dbl_3a of a block here is the third, branch3x3dbl/Conv_2."""
    names = {"logits.weight": "logits/logits/weights", "logits.bias": "logits/logits/biases"}
    for block, layer in net["body"].named_children():
        scopes: dict[str, int] = {}
        layers = {"": layer} if isinstance(layer, BasicConv2d) else dict(layer.named_children())
        for child, convolution in layers.items():
            if not isinstance(convolution, BasicConv2d):
                continue
            branch = re.sub(r"_\d[ab]?$", "", child)
            number = scopes[branch] = scopes.get(branch, -1) + 1
            scope = f"{block}/{branch}/Conv{f'_{number}' if number else ''}" if child else block
            ours = f"body.{block}.{child}." if child else f"body.{block}."
            names |= {
                f"{ours}conv.weight": f"{scope}/weights",
                f"{ours}bn.bias": f"{scope}/BatchNorm/beta",
                f"{ours}bn.running_mean": f"{scope}/BatchNorm/moving_mean",
                f"{ours}bn.running_var": f"{scope}/BatchNorm/moving_variance",
            }
    return names


def _inside(folder: Path) -> Path | None:
    """The file in ``folder`` that holds weights."""
    kinds = r".*\.(safetensors|npz|index)|model\.ckpt-\d+"
    return next((file for file in sorted(folder.iterdir()) if re.fullmatch(kinds, file.name)), None)


def _read(file: Path, wanted: set[str]) -> dict[str, Tensor]:
    """The ``wanted`` variables by their names, averaged where the file has their averages."""
    asked = wanted | {name + _AVERAGE for name in wanted}
    if file.suffix == ".safetensors":
        found = load_file(file)
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name in asked}
    else:
        found = tf_checkpoint.read(file, asked.__contains__)
    averaged = {name: found.get(name + _AVERAGE, found.get(name)) for name in wanted}
    return {name: value for name, value in averaged.items() if value is not None}


def _in_our_layout(net: nn.Module, names: dict[str, str], found: dict[str, Tensor]) -> dict[str, Tensor]:
    """``found`` as a state dict: kernels (height, width, in, out) become (out, in, height, width). The norms have no
    scale there, and no count of batches."""
    weights = {}
    for key, own in net.state_dict().items():
        if key in names:
            if (value := found.get(names[key])) is not None:
                weights[key] = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T if value.ndim == 2 else value
        else:
            weights[key] = torch.ones(own.shape, dtype=own.dtype)
    return {key: value.contiguous() for key, value in weights.items()}
