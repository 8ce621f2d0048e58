"""How well an encoder's space fits images of classes that it never saw: zero-shot classification and retrieval of a
class (Reed et al., CVPR 2016, section 5), and retrieval of single images and captions in galleries."""

import numpy as np
import torch
from torch import Tensor

from t2i import device, galleries
from t2i.config import CaptionPairsConfig, CharCnnRnnConfig
from t2i.data.dataset import rng_for
from t2i.metrics.metric import Column, Metric, note_pairs, too_few, too_few_pairs
from t2i.training.image_features import Whitening, image_features


class ZeroShot(Metric):
    """Char-CNN-RNN's: zero-shot accuracy and AP@50 on unseen classes. It compares classes, so that captions that are
    known to fit the class of an image alone count as well."""

    name = "zero_shot"
    needs = "a char-cnn-rnn that learned from pictures"
    columns = (
        Column("zero_shot_accuracy", "zero-shot accuracy", 1, percent=True, published="zero_shot_top1_%"),
        Column("retrieval_ap50", "AP@50", 1, percent=True, published="retrieval_AP@50_%"),
    )

    def applies(self, run) -> bool:
        return type(run.config) is CharCnnRnnConfig

    def lacking(self, unseen) -> str | None:
        return too_few(unseen, classes=2)

    def protocol(self, evaluation) -> str:
        return f"zero-shot-{_classes(evaluation.unseen.labels)}"

    def measure(self, evaluation) -> dict[str, float]:
        run, unseen = evaluation.run, evaluation.unseen
        images = image_vectors(run, unseen)
        texts = run.encode([caption for example in unseen.examples for caption in example.captions])
        text_labels = np.repeat(unseen.labels, [len(example.captions) for example in unseen.examples])
        evaluation.notes["image_features"] = run.state["extras"]["image_features"]
        return {
            "zero_shot_accuracy": zero_shot_accuracy(images, unseen.labels, texts, text_labels),
            "retrieval_ap50": average_precision_at(50, images, unseen.labels, texts, text_labels),
            "chance": 1 / _classes(unseen.labels),
        }


class CaptionRecall(Metric):
    """Char-CNN-RNN's where it learned from captions alone: how often a caption of an unseen image is the nearest to
    another one, among 100 images."""

    name = "caption_recall"
    needs = "a char-cnn-rnn that learned from captions alone"
    columns = (Column("caption_recall_at_1", "recall@1 of captions by captions", 1, percent=True),)

    def applies(self, run) -> bool:
        return isinstance(run.config, CaptionPairsConfig)

    def lacking(self, unseen) -> str | None:
        alone = sum(len(example.captions) < 2 for example in unseen.examples)
        few = f"it takes two captions of each unseen image, and {alone} have one" if alone else None
        return too_few(unseen) or few

    def protocol(self, evaluation) -> str:
        return f"caption-recall-{min(galleries.SIZE, len(evaluation.unseen))}"

    def measure(self, evaluation) -> dict[str, float]:
        unseen, rng = evaluation.unseen, rng_for(evaluation.seed, 0, "caption galleries")
        size = min(galleries.SIZE, len(unseen))
        numbers = rng.permutation(len(unseen))[: len(unseen) // size * size]
        drawn = unseen.captions(numbers, rng, 2, replace=False)
        first, second = (evaluation.run.encode(list(column)) for column in zip(*drawn, strict=True))
        pairs = zip(first.split(size), second.split(size), strict=True)
        ranks = torch.cat([galleries.rank_of_right(ours @ theirs.T) for ours, theirs in pairs])
        found = {f"caption_recall_at_{k}": (ranks < k).double().mean().item() for k in galleries.RANKS}
        return found | {"chance": 1 / size}


class Galleries(Metric):
    """DAMSM's: recall@1, 5 and 10 in galleries of 100 unseen images."""

    name = "retrieval"
    needs = "a damsm"
    columns = (
        Column("captions_recall_at_1", "recall@1 of captions", 1, percent=True),
        Column("images_recall_at_1", "recall@1 of images", 1, percent=True),
    )

    def applies(self, run) -> bool:
        return run.is_encoder and run.reads_words

    def lacking(self, unseen) -> str | None:
        return too_few_pairs(unseen)

    def protocol(self, evaluation) -> str:
        return f"recall-{min(galleries.SIZE, len(evaluation.unseen.certain))}"

    def measure(self, evaluation) -> dict[str, float]:
        run = evaluation.run
        evaluation.notes["trunk"] = run.config.trunk
        note_pairs(evaluation)
        with (
            device.on_device(run.encoder, run.device) as text,
            device.on_device(run.image_encoder, run.device) as image,
        ):
            return galleries.recall(text, image, evaluation.unseen, evaluation.seed)


def image_vectors(run, unseen) -> Tensor:
    """The images of ``unseen`` in the space of a Char-CNN-RNN's captions: (N, D)."""
    images = image_features(unseen, run.state["extras"]["image_features"], torch.device(device.choose(run.device)))
    if weights := run.state["networks"]["image"]:
        whitening = Whitening(images.shape[1], run.config.embedding_size)
        whitening.load_state_dict(weights)
        images = whitening(images)
    return images


def _classes(labels: np.ndarray) -> int:
    return int(labels.max()) + 1


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
