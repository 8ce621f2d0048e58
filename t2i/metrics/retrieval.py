"""How well a text encoder's space fits images of classes that it never saw (Reed et al., CVPR 2016, section 5)."""

import numpy as np
import torch
from torch import Tensor


def class_means(vectors: Tensor, labels: np.ndarray) -> Tensor:
    """The mean of the vectors (N, D) of each class: (classes, D)."""
    labels = torch.as_tensor(labels)
    return torch.stack([vectors[labels == label].mean(dim=0) for label in range(int(labels.max()) + 1)])


def zero_shot_accuracy(images: Tensor, image_labels: np.ndarray, texts: Tensor, text_labels: np.ndarray) -> float:
    """The share of images (N, D) whose class has the highest mean compatibility v·t over its captions (M, D).

    This is equation 1; the mean of v·t over captions is v·(mean of t), so one vector per class is enough.
    Chance is 1 / classes.
    """
    scores = images @ class_means(texts, text_labels).T
    return (scores.argmax(dim=1) == torch.as_tensor(image_labels)).double().mean().item()


def average_precision_at(
    k: int, images: Tensor, image_labels: np.ndarray, texts: Tensor, text_labels: np.ndarray
) -> float:
    """AP@k: each class's mean caption vector ranks all images; the share of its class among the first k, over classes.

    Where the set has fewer than k images, all of them are ranked.
    """
    scores = class_means(texts, text_labels) @ images.T
    best = scores.topk(min(k, len(images)), dim=1).indices
    classes = torch.arange(len(scores))[:, None]
    return (torch.as_tensor(image_labels)[best] == classes).double().mean().item()
