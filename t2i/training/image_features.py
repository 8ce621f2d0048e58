"""The image side of the joint embedding: frozen features of every image, computed once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models import googlenet as torchvision_googlenet

from t2i import aviarynet, kept, lite0
from t2i.config import DRAWN, CharCnnRnnConfig
from t2i.data import images
from t2i.data.dataset import ImageTextDataset
from t2i.errors import UserError
from t2i.progress import tqdm
from t2i.weights import googlenet_weights

# The length of whitened vectors: short ones make text vectors with entries of order one, like the noise that
# a generator reads beside them.
SMALL_LENGTH = 1.5


def googlenet() -> nn.Module:
    """torchvision's GoogLeNet without its classifiers: (B, 3, 224, 224) in [-1, 1] -> (B, 1024), frozen.

    Raises :class:`UserError` where its weights are neither here nor to be downloaded, or are damaged.
    """
    file = googlenet_weights()
    with torch.device("meta"):  # nothing is drawn that the weights replace anyway
        network = torchvision_googlenet(weights=None, init_weights=False)
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), assign=True)
    network.aux_logits, network.aux1, network.aux2, network.fc = False, None, None, nn.Identity()
    return network.eval().requires_grad_(False)


def backbone(config: CharCnnRnnConfig) -> dict:
    """Another extractor in the place of GoogLeNet where its weights are not to be had, after a notice: AviaryNet for
    drawn pictures, EfficientNet-Lite0 for all others."""
    if config.image_features == "googlenet":
        try:
            googlenet_weights()
        except UserError as missing:
            other = aviarynet.NAME if config.dataset in DRAWN else lite0.NAME
            tqdm.write(f"{missing} Until then, Char-CNN-RNN learns with the features of {other}.")
            return {"image_features": other}
    return {}


def extractor(name: str) -> Callable[[Tensor], Tensor]:
    """The function from pictures to vectors that is called ``googlenet``, ``aviarynet1`` or ``efficientnet-lite0``;
    :class:`UserError` where weights are missing."""
    if name == "googlenet":
        return googlenet()
    embed = {aviarynet.NAME: aviarynet.embed, lite0.NAME: lite0.embed}[name]
    return lambda images: embed(images)[0]


class Whitening(nn.Module):
    """Lays features (N, F) that are not as many as the text's into its space: whitened, brought to one length, and
    turned into ``embedding_size`` dimensions by a fixed random rotation.

    What varies inside a class (pose, side, background) says nothing about the class and is scaled down: the features
    get the identity as their covariance within classes. Where there are more than ``embedding_size`` of them, the
    directions in which classes vary least inside are left out. GoogLeNet's 1,024 features need none of this; as there,
    nothing on the image side is learned.
    """

    def __init__(self, size: int, embedding_size: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        kept = min(size, embedding_size)
        rotation = torch.linalg.qr(torch.randn(embedding_size, kept, generator=generator)).Q
        self.register_buffer("rotation", rotation.contiguous())  # (embedding_size, kept), orthonormal columns
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("whiten", torch.eye(size, kept))

    def fit(self, features: Tensor, labels: Tensor) -> "Whitening":
        """Measure mean and covariance on features (N, F) of classes 0 to C - 1; without classes, of all together."""
        self.mean = features.mean(dim=0)
        counts = torch.bincount(labels).to(features.dtype)
        means = torch.zeros(len(counts), features.shape[1]).index_add_(0, labels, features) / counts[:, None]
        inner = features - (means[labels] if len(counts) < len(features) else self.mean)
        covariance = inner.T @ inner / len(features)
        ridge = 0.05 * covariance.diagonal().mean() + 1e-8  # few images, dead features
        values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(covariance)))
        kept = self.whiten.shape[1]
        scaled = vectors[:, -kept:] * values[-kept:].rsqrt()
        self.whiten = scaled @ vectors.T if kept == len(values) else scaled
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) -> (..., embedding_size)."""
        white = (features - self.mean) @ self.whiten
        return nn.functional.normalize(white, dim=-1) * SMALL_LENGTH @ self.rotation.T


class Centring(Whitening):
    """The same without whitening: features about their mean, in their principal directions, brought to one length.

    For EfficientNet-Lite0. Its directions of least variance are noise, which whitening makes as loud as any: in one
    trial on the 20 unseen classes of Oxford-102, AP@50 by a linear map from words was 0.62 centred and 0.44 whitened.
    """

    def fit(self, features: Tensor, labels: Tensor) -> "Centring":
        """Measure mean and principal directions on features (N, F)."""
        self.mean = features.mean(dim=0)
        inner = (features - self.mean).double()  # few images span few directions, which float32 cannot tell apart
        _, vectors = torch.linalg.eigh(inner.T @ inner)
        self.whiten = vectors[:, -self.whiten.shape[1] :].float().contiguous()
        return self


def projection(name: str, size: int, embedding_size: int) -> Whitening:
    """What lays ``size`` features of the extractor called ``name`` into the text's space, before it is fitted."""
    return (Centring if name == lite0.NAME else Whitening)(size, embedding_size)


def image_features(data: ImageTextDataset, name: str, device: torch.device) -> Tensor:
    """The features by the extractor called ``name`` of the middle of every image of ``data``: (N, F), on the CPU."""
    return view_features(data, name, device, 1)[:, 0]


def view_features(data: ImageTextDataset, name: str, device: torch.device, views: int) -> Tensor:
    """The same of the first ``views`` views of every image (:func:`t2i.data.images.views`): (N, views, F). They are
    kept on disk, because a network that knows photographs takes minutes for a data set."""
    file = kept.place(data, name, views)
    return kept.features(file, len(data), lambda: _computed(data, extractor(name), device, views))


@torch.no_grad()
def _computed(data: ImageTextDataset, embed, device: torch.device, views: int, batch_size: int = 128) -> Tensor:
    if isinstance(embed, nn.Module):
        embed = embed.to(device)
    numbers, parts = torch.arange(len(data)).split(max(1, batch_size // views)), []
    for part in tqdm(numbers, desc="image features", unit="batch", leave=False):
        seen = [view for number in part for view in images.views(data.cache[number], data.sizes[-1], views)]
        parts.append(embed(images.to_tensor(seen).to(device)).cpu().unflatten(0, (len(part), views)))
    return torch.cat(parts)
