"""Retrieval in galleries: how well a caption finds its image, and an image its caption, among others. The measure by
which DAMSM's training is watched, and DAMSM itself afterwards."""

import torch
from torch import Tensor, nn

from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.losses import sentence_similarity, words_similarity
from t2i.text import ImageFeatures, TextFeatures

SIZE = 100
RANKS = (1, 5, 10)
FEW = 20  # captions whose attention over all images of a gallery is held at once
TIE = 1e-6  # cosines nearer than this are equal: the same caption, read in another batch, differs by its rounding


@torch.inference_mode()
def recall(
    text: nn.Module, image: nn.Module, data: ImageTextDataset, seed: int, words: bool = True
) -> dict[str, float]:
    """Recall@1, 5 and 10 in galleries of 100 images of ``data`` with a caption each, by encoders wherever they are; of
    images whose captions are certainly their own.

    Keys say what is looked for (captions, for an image, or images) and by what: the cosine of code and sentence, or,
    with "words" in front, the words' similarity. Every image is in one gallery, but for those of an incomplete last.
    ``chance`` is that of recall@1.
    """
    size = min(SIZE, len(data.certain))
    order = rng_for(seed, 0, "galleries").permutation(data.certain)
    draws = rng_for(seed, 0, "gallery captions")
    device = next(image.parameters()).device
    found: dict[str, list[Tensor]] = {}
    for gallery in order[: len(order) // size * size].reshape(-1, size):
        seen = image(data.evaluation_images(gallery)[-1].to(device))
        read = text.features([caption for (caption,) in data.captions(gallery, draws)])
        for name, rank in ranks(seen, read, words).items():
            found.setdefault(name, []).append(rank)
    return {
        f"{name}_recall_at_{k}": (torch.cat(parts) < k).double().mean().item()
        for name, parts in found.items()
        for k in RANKS
    } | {"chance": 1 / size}


def ranks(seen: ImageFeatures, read: TextFeatures, words: bool = True) -> dict[str, Tensor]:
    """The ranks (N,) of the right captions and of the right images of one gallery of N pairs, by each similarity."""
    similar = {"": sentence_similarity(seen, read)}
    if words:
        few = (words_similarity(seen, read.select(part)) for part in torch.arange(len(read.sentence)).split(FEW))
        similar["words_"] = torch.cat(list(few), dim=1)
    found = {}
    for way, scores in similar.items():
        found |= {f"{way}captions": rank_of_right(scores), f"{way}images": rank_of_right(scores.T)}
    return found


def rank_of_right(scores: Tensor) -> Tensor:
    """How many others score at least as high as the right one, which stands on the diagonal: (N,)."""
    return (scores > scores.diagonal()[:, None] - TIE).sum(dim=1) - 1
