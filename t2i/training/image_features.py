"""The image side of the joint embedding: frozen features of every image, computed once."""

import pickle

import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNet_Weights
from torchvision.models import googlenet as torchvision_googlenet
from tqdm.auto import tqdm

from t2i import aviarynet
from t2i.config import CharCnnRnnConfig
from t2i.errors import UserError

GOOGLENET_FILE = "googlenet-1378be20.pth"
# The length of a small extractor's vectors: short ones make text vectors with entries of order one, like the noise that
# a generator reads beside them.
SMALL_LENGTH = 1.5


def googlenet() -> nn.Module | None:
    """torchvision's GoogLeNet without its classifier: (B, 3, 224, 224) in [-1, 1] -> (B, 1024), frozen.

    None where its weights are neither in the torch home nor to be downloaded; :class:`UserError` where they are broken.
    """
    try:
        network = torchvision_googlenet(weights=GoogLeNet_Weights.IMAGENET1K_V1)
    except OSError:
        return None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        problem = f"{_folder()}/{GOOGLENET_FILE} is damaged"
        raise UserError(problem, "Delete it; it is fetched anew, or can be put there by hand.") from error
    network.fc = nn.Identity()
    network.transform_input = False  # that switch is for ImageNet-normalised pixels; ours are in [-1, 1] already
    return network.eval().requires_grad_(False)


def backbone(config: CharCnnRnnConfig) -> dict:
    """The small extractor in the place of GoogLeNet where its weights are not here; that is said."""
    if config.image_features != "googlenet" or googlenet() is not None:
        return {}
    tqdm.write(f"GoogLeNet's weights are not here (put {GOOGLENET_FILE} into {_folder()}): using the small extractor.")
    return {"image_features": "aviarynet1"}


def extractor(name: str):
    """The function from pictures to vectors that is called ``googlenet`` or ``aviarynet1``; :class:`UserError` where
    GoogLeNet's weights are missing."""
    if name == "aviarynet1":
        return lambda images: aviarynet.embed(images)[0]
    network = googlenet()
    if network is None:
        problem = "GoogLeNet's weights are not here, and with them these text vectors were learned"
        raise UserError(problem, f"Put {GOOGLENET_FILE} into {_folder()}.")
    return network


def _folder() -> str:
    return f"{torch.hub.get_dir()}/checkpoints"


class Whitening(nn.Module):
    """Lays features (N, F) of a small extractor into the text's space: whitened, brought to one length, and turned into
    ``embedding_size`` dimensions by a fixed random rotation.

    What varies inside a class (pose, side, background) says nothing about the class and is scaled down: the features
    get the identity as their covariance within classes. GoogLeNet's 1,024 features need none of this; as there,
    nothing on the image side is learned.
    """

    def __init__(self, size: int, embedding_size: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        rotation = torch.linalg.qr(torch.randn(embedding_size, size, generator=generator)).Q
        self.register_buffer("rotation", rotation.contiguous())  # (embedding_size, size), orthonormal columns
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("whiten", torch.eye(size))

    def fit(self, features: Tensor, labels: Tensor) -> "Whitening":
        """Measure mean and covariance on features (N, F) of classes 0 to C - 1; without classes, of all together."""
        self.mean = features.mean(dim=0)
        counts = torch.bincount(labels).to(features.dtype)
        means = torch.zeros(len(counts), features.shape[1]).index_add_(0, labels, features) / counts[:, None]
        inner = features - (means[labels] if len(counts) < len(features) else self.mean)
        covariance = inner.T @ inner / len(features)
        ridge = 0.05 * covariance.diagonal().mean() + 1e-8  # few images, dead features
        values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(covariance)))
        self.whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, embedding_size)."""
        white = (features - self.mean) @ self.whiten
        return nn.functional.normalize(white, dim=1) * SMALL_LENGTH @ self.rotation.T


@torch.no_grad()
def image_features(data, embed, device: torch.device, batch_size: int = 128) -> Tensor:
    """``embed`` of the middle crop of every image of ``data`` (an ``ImageTextDataset``): (N, F), on the CPU."""
    if isinstance(embed, nn.Module):
        embed = embed.to(device)
    parts = []
    for first in tqdm(range(0, len(data), batch_size), desc="image features", unit="batch", leave=False):
        images = data.evaluation_images(range(first, min(first + batch_size, len(data))))[-1]
        parts.append(embed(images.to(device)).cpu())
    return torch.cat(parts)
