"""R-precision by CLIP (Park et al., Benchmark for Compositional Text-to-Image Synthesis, NeurIPS 2021): the trials are
those of :mod:`t2i.metrics.r_precision`, the network that judges is one that no generator of this line learned from."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from t2i import contents, device
from t2i.data.dataset import rng_for
from t2i.data.images import resize_by_pillow
from t2i.errors import UserError
from t2i.metrics import r_precision
from t2i.metrics.metric import Column, Metric, too_few
from t2i.metrics.protocols import short
from t2i.weights import CLIP

_PACKAGE = 'pip install "open_clip_torch>=2.30"'


class ClipRPrecision(Metric):
    """R-precision of generated pictures, with their captions and with those of others, and of real pictures.

    Any generator can be measured, also one that reads sentences. CLIP's weights take 350 MB, so the metric is measured
    where it is asked for by its name, and not among all others.
    """

    name = "clip_r_precision"
    on_request = True
    judge = "clip"
    columns = (
        Column("clip_r_precision", "CLIP R-precision", 1, "clip_r_precision_shuffled", "CLIP, shuffled", True),
        Column("clip_r_precision_real", "CLIP R-precision of real pictures", 1, percent=True),
    )

    def lacking(self, unseen) -> str | None:
        return too_few(unseen, classes=2)

    def protocol(self, evaluation) -> str:
        return f"r-precision-{short(len(evaluation.captions))}-clip-{load(evaluation.clip).digest}"

    @contextmanager
    def look(self, evaluation) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
        with device.on_device(load(evaluation.clip), evaluation.run.device) as clip:
            yield lambda pictures: {"codes": clip.see(pictures.to(clip.place)).cpu()}

    def measure(self, evaluation) -> dict[str, float]:
        unseen, seed = evaluation.unseen, evaluation.seed
        classes = unseen.labels[evaluation.numbers]
        asked = evaluation.of_generated(self)["codes"], evaluation.captions, classes
        real = self.of_real(evaluation)
        with device.on_device(load(evaluation.clip), evaluation.run.device) as clip:
            found = r_precision.of_pictures(*asked, clip, unseen, seed, dealt=evaluation.order)
            found["r_precision_real"] = r_precision.of_pictures(*real, clip, unseen, seed)["r_precision"]
        return {f"clip_{name}": figure for name, figure in found.items()}

    def of_real(self, evaluation) -> tuple[Tensor, list[str], np.ndarray]:
        """Codes (M, D), a caption each and classes (M,) of the unseen images whose captions are certainly their own."""
        unseen = evaluation.unseen
        own = rng_for(evaluation.seed, 0, "clip captions of real images")
        captions = [caption for (caption,) in unseen.captions(unseen.certain, own)]
        return evaluation.of_real(self)["codes"][unseen.certain], captions, unseen.labels[unseen.certain]


class Clip(nn.Module):
    """CLIP (Radford et al., ICML 2021) as the package open_clip builds it from weights in OpenAI's layout."""

    def __init__(self, network: nn.Module, digest: str):
        super().__init__()
        import open_clip

        self.network, self.digest = network, digest
        self.read = open_clip.SimpleTokenizer(context_length=network.positional_embedding.shape[0])
        side = network.visual.image_size
        self.side = side[0] if isinstance(side, tuple) else side
        for name, value in (("mean", open_clip.OPENAI_DATASET_MEAN), ("std", open_clip.OPENAI_DATASET_STD)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1))

    @property
    def place(self) -> torch.device:
        return self.mean.device

    @torch.no_grad()
    def see(self, pictures: Tensor) -> Tensor:
        """uint8 (B, 3, s, s) on CLIP's device -> codes (B, D)."""
        pixels = resize_by_pillow(pictures, self.side, Image.Resampling.BICUBIC) / 255
        return self.network.encode_image((pixels - self.mean) / self.std).float()

    def encode(self, texts: list[str]) -> Tensor:
        """Captions as written -> codes (B, D); what lies beyond 77 tokens is not read."""
        return self.network.encode_text(self.read(texts).to(self.place)).float()


@cache
def load(path: Path | str | None = None) -> Clip:
    """CLIP with the weights in ``path``, a file in OpenAI's layout; by default OpenAI's ViT-B/32, which is downloaded.

    Raises :class:`UserError` where the file is missing or something else, and where open_clip is not installed.
    """
    try:
        from open_clip.model import build_model_from_openai_state_dict
    except ImportError as missing:
        raise UserError("CLIP is built by the package open_clip, which is not installed", f"{_PACKAGE}.") from missing
    file = CLIP.find() if path is None else Path(path).expanduser()
    if not file.is_file():
        mend = f"Name OpenAI's {CLIP.name}, from {CLIP.url}."
        raise UserError(f"{file} {'is a folder' if file.is_dir() else 'is missing'}", mend)
    try:
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # it draws weights before they are replaced
            network = build_model_from_openai_state_dict(_state(file), cast_dtype=torch.float32).float()
    except Exception as error:  # of any kind, by what the layout misses
        raise contents.refuse(
            file, ("holds no CLIP in OpenAI's layout", f"Name {CLIP.name}, from {CLIP.url}.")
        ) from error
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()[:8]
    return Clip(network, digest).eval().requires_grad_(False)


def _state(file: Path) -> dict[str, Tensor]:
    """The state dict in ``file``: OpenAI released TorchScript, of which the tensors alone are taken."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that torch has a newer format
            return dict(torch.jit.load(file, map_location="cpu").state_dict())
    except RuntimeError:  # it is no TorchScript
        return torch.load(file, map_location="cpu", weights_only=True)
