"""What a pair of DAMSM encoders is worth on images of classes that it never saw: retrieval, and R-precision of the real
images, which no generator should be expected to pass. Everything runs where the encoders are."""

import numpy as np
import torch
from torch import Tensor, nn

from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.losses import sentence_similarity, words_similarity
from t2i.metrics import r_precision

GALLERY = 100
RANKS = (1, 5, 10)
FEW = 20  # captions whose attention over all images of a gallery is held at once


def retrieval(text: nn.Module, image: nn.Module, data: ImageTextDataset, seed: int, words: bool = True) -> dict:
    """Recall@1, 5 and 10 in galleries of 100 images of ``data`` with a caption each; chance is k / 100.

    Keys say what is looked for (captions, for an image, or images) and by what: the cosine of code and sentence, or,
    with "words" in front, the words' similarity. Every image is in one gallery, but for those of an incomplete last.
    """
    size = min(GALLERY, len(data))
    order = rng_for(seed, 0, "galleries").permutation(len(data))
    draws = rng_for(seed, 0, "gallery captions")
    ranks: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for gallery in order[: len(data) // size * size].reshape(-1, size):
            seen = image(data.evaluation_images(gallery)[-1].to(_place(image)))
            read = text.features([caption for (caption,) in data.captions(gallery, draws)])
            similar = {"": sentence_similarity(seen, read)}
            if words:
                few = (words_similarity(seen, read.select(part)) for part in torch.arange(size).split(FEW))
                similar["words_"] = torch.cat(list(few), dim=1)
            for way, scores in similar.items():
                ranks.setdefault(f"{way}captions", []).append(rank_of_right(scores))
                ranks.setdefault(f"{way}images", []).append(rank_of_right(scores.T))
    found = {name: torch.cat(parts) for name, parts in ranks.items()}
    return {
        f"{name}_recall_at_{k}": (rank < k).double().mean().item() for name, rank in found.items() for k in RANKS
    } | {"chance": 1 / size}


def rank_of_right(scores: Tensor) -> Tensor:
    """How many others score at least as high as the right one, which stands on the diagonal: (N,)."""
    return (scores > scores.diagonal()[:, None] - r_precision.TIE).sum(dim=1) - 1


def image_codes(image: nn.Module, pictures: Tensor, batch_size: int = 100) -> Tensor:
    """The codes of pictures (N, 3, s, s) in [-1, 1]: (N, 256), on the CPU."""
    with torch.inference_mode():
        return torch.cat([image(part.to(_place(image))).code.cpu() for part in pictures.split(batch_size)])


def real_r_precision(text: nn.Module, image: nn.Module, data: ImageTextDataset, seed: int, trials: int) -> dict:
    """R-precision of the real images of ``data`` with their own captions, by both fold rules."""
    pictures = torch.arange(len(data)).split(100)
    codes = torch.cat([image_codes(image, data.evaluation_images(part.tolist())[-1]) for part in pictures])
    numbers = np.arange(trials) % len(data)
    captions = [caption for (caption,) in data.captions(numbers, rng_for(seed, 0, "r-precision captions"))]
    return of_pictures(codes[numbers], captions, data.labels[numbers], text, data, seed)


def of_pictures(
    codes: Tensor,
    captions: list[str],
    classes: np.ndarray,
    text: nn.Module,
    data: ImageTextDataset,
    seed: int,
    dealt: np.ndarray | None = None,
) -> dict:
    """R-precision of pictures with ``codes`` (N, 256), drawn for ``captions`` (N) of ``classes`` (N,).

    The other captions are drawn from all those of ``data``. With ``dealt`` (N,), there is also an
    ``r_precision_shuffled``, for which picture k is judged by caption ``dealt[k]``.
    """
    pool = [caption for example in data.examples for caption in example.captions]
    pool_classes = np.repeat(data.labels, [len(example.captions) for example in data.examples])
    sentences = encode(text, captions + pool)
    own, others = sentences.split([len(captions), len(pool)])
    hits = r_precision.hits(codes, own, classes, others, pool_classes, seed)
    found = {rule: r_precision.fold(hits, seed, rule) for rule in ("all", "published")}
    metrics = {
        "r_precision": found["all"].mean,
        "r_precision_std": found["all"].std,
        "r_precision_published_folds": found["published"].mean,
        "r_precision_published_folds_std": found["published"].std,
    }
    if dealt is not None:
        hits = r_precision.hits(codes, own[dealt], classes[dealt], others, pool_classes, seed)
        metrics["r_precision_shuffled"] = r_precision.fold(hits, seed).mean
    return metrics


def encode(text: nn.Module, captions: list[str], batch_size: int = 512) -> Tensor:
    """The sentence vectors of any number of captions: (N, N_s), on the CPU."""
    parts = [captions[i : i + batch_size] for i in range(0, len(captions), batch_size)]
    with torch.inference_mode():
        return torch.cat([text.encode(part).cpu() for part in parts])


def _place(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
