"""Every number of every run: the papers' values, and the profiles that scale them down.

``PAPER`` is the truth. A profile replaces numbers named in ``SCALE_KNOBS`` and nothing else, so the same code runs at
every size, and :func:`difference` shows a reader exactly what was scaled.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from t2i import paths
from t2i.errors import UserError


def _because(default, source: str):
    """A field whose default carries the place it comes from."""
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True)
class Config:
    """What every model needs to train; each model adds its own fields below."""

    model: str
    dataset: str
    profile: str = "paper"
    seed: int = 0
    root: str = ""

    image_size: int = 64
    crop: str = (
        "whole"  # "box": around the bounding box where there is one (StackGAN, AttnGAN); "whole": no crop (Reed)
    )
    resize: str = "square"  # "shorter": keep the aspect (AttnGAN); "square": squeeze (Reed, StackGAN)
    images_per_class: int = 0  # 0: all

    batch_size: int = 64
    epochs: int = 600
    steps: int = 0  # 0: as many as the epochs hold
    learning_rate: float = 2e-4
    ema_decay: float = 0.0  # 0: sample from the live weights

    precision: str = "32-true"
    compile: bool = False
    device: str = "auto"
    log_every: int = 50
    sample_every: int = 2000
    checkpoint_every: int = 1000
    evaluation_protocol: str = "fid30k-inception-tf"

    @property
    def name(self) -> str:
        """The run's name, which is also the name of its folder."""
        dataset = Path(self.root).name if self.dataset == "folder" else self.dataset
        return f"{self.model}-{dataset}-{self.profile}-s{self.seed}"

    @property
    def directory(self) -> Path:
        return paths.runs_root() / self.name

    def fingerprint(self) -> str:
        """Eight hex digits over every field: two runs with the same fingerprint had the same settings."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]

    def to_dict(self) -> dict:
        """Every field as JSON and checkpoints keep it: tuples as lists; :func:`from_dict` reads it back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class CharCnnRnnConfig(Config):
    """Char-CNN-RNN under the structured joint embedding (Reed et al., CVPR 2016, with the numbers of its scripts)."""

    batch_size: int = _because(40, "cvpr2016 scripts: 40 distinct classes a batch")
    epochs: int = _because(200, "cvpr2016 scripts; an epoch is one iteration per class")
    learning_rate: float = _because(7e-4, "cvpr2016 scripts")
    decay_per_epoch: float = _because(0.98, "cvpr2016 scripts")
    image_size: int = _because(224, "GoogLeNet's input")
    variant: str = _because(
        "cvpr",
        "cvpr: 3 poolings, RNN over 8 steps; icml-gru: 2 poolings, GRU over 18; icml-rnn: cvpr with 512 channels",
    )
    channels: tuple[int, ...] = _because((384, 512, 256), "HybridCNN.lua")
    embedding_size: int = _because(1024, "GoogLeNet's pooled features")
    image_features: str = _because("googlenet", "cvpr2016: 1,024-d GoogLeNet features")
    evaluation_protocol: str = "zero-shot"


@dataclass(frozen=True)
class DamsmConfig(Config):
    """DAMSM, the similarity of words and regions (Xu et al., AttnGAN, CVPR 2018, with the numbers of its code)."""

    crop: str = _because("box", "AttnGAN's code: every set with boxes is cropped to them")
    resize: str = _because("shorter", "AttnGAN's code: shorter side to 299 * 76 / 64")
    image_size: int = _because(299, "AttnGAN's code: BASE_SIZE 299 while pre-training")
    batch_size: int = _because(48, "AttnGAN's code: DAMSM yml")
    epochs: int = _because(200, "the released bird encoders: text_encoder200.pth")
    learning_rate: float = _because(2e-3, "AttnGAN's code: ENCODER_LR")
    decay_per_epoch: float = _because(0.98, "AttnGAN's code: until a tenth is left")
    clip_norm: float = _because(0.25, "AttnGAN's code: RNN_GRAD_CLIP, on the text encoder alone")
    rnn: str = _because("LSTM", "AttnGAN's code: RNN_TYPE; GRU is the other option")
    words: int = _because(18, "AttnGAN's code: WORDS_NUM; of a longer caption, so many random words")
    captions_per_image: int = _because(10, "AttnGAN's code: the first ten lines")
    gamma_attention: float = _because(4.0, "AttnGAN's code: GAMMA1")
    gamma_words: float = _because(5.0, "AttnGAN, section 4: gamma 2")
    gamma_matching: float = _because(10.0, "AttnGAN, section 4: gamma 3")
    class_mask: bool = _because(True, "AttnGAN's code: pairs of one class are not told apart")
    trunk: str = _because("inception-v3", "AttnGAN, section 3.2: ImageNet weights, frozen; small: learned from nothing")
    trunk_width: int = _because(32, "of the small trunk; ours")
    trunk_size: int = _because(34, "of the small trunk, in pixels; ours")
    trials: int = _because(30_000, "DM-GAN's R-precision")
    evaluation_protocol: str = "r-precision"


@dataclass(frozen=True)
class GanClsConfig(Config):
    """GAN-CLS and GAN-CLS-INT (Reed et al., ICML 2016, with the numbers of the authors' own scripts)."""

    text_encoder: str = _because("char-cnn-rnn", "section 4 of the paper; or the folder of an encoder's run")
    sentence_size: int = _because(1024, "the width of Char-CNN-RNN's vectors")
    noise_size: int = _because(100, "icml2016 scripts: nz")
    text_size: int = _because(128, "icml2016 scripts: nt")
    generator_width: int = _because(128, "icml2016 scripts: ngf")
    discriminator_width: int = _because(64, "icml2016 scripts: ndf")
    captions_averaged: int = _because(4, "icml2016 scripts: numCaption")
    wrong_weight: float = _because(0.5, "icml2016 scripts: cls_weight")
    interpolation_weight: float = _because(0.0, "0 is GAN-CLS; icml2016's INT scripts use 1")
    halve_every: int = _because(100, "icml2016 scripts: decay_every, in epochs")


def _papers() -> dict[tuple[str, str], Config]:
    """The published setting of every model on every data set.

    Aviary follows CUB, but for one thing: its birds are cropped to their boxes in every model, as in all papers after
    GAN-CLS, because at the sizes of the small profiles a whole picture holds too little bird.
    """
    table: dict[tuple[str, str], Config] = {}
    for dataset in ("aviary", "cub", "flowers", "coco", "folder"):
        view = {"crop": "box", "resize": "shorter"} if dataset == "aviary" else {}
        encoder, gan = CharCnnRnnConfig("char-cnn-rnn", dataset, **view), GanClsConfig("gan-cls", dataset, **view)
        damsm = DamsmConfig("damsm", dataset)
        if dataset == "coco":  # icml2016's COCO script
            widths = {"generator_width": 196, "discriminator_width": 196}
            gan = replace(gan, **widths, captions_averaged=3, epochs=200, halve_every=40)
            damsm = replace(damsm, epochs=100, words=15, captions_per_image=5)
        interpolating = replace(gan, model="gan-cls-int", interpolation_weight=1.0)
        table.update({(config.model, dataset): config for config in (encoder, damsm, gan, interpolating)})
    return table


PAPER = _papers()
MODELS = tuple(dict.fromkeys(model for model, _ in PAPER))
DATASETS = ("aviary", "cub", "flowers", "coco")
PROFILE_NAMES = ("smoke", "cpu", "gpu", "paper")

_CHOICES = {
    "crop": ("box", "whole"),
    "resize": ("shorter", "square"),
    "precision": ("32-true", "bf16-mixed"),
    "variant": ("cvpr", "icml-gru", "icml-rnn"),
    "image_features": ("googlenet", "aviarynet1"),
    "rnn": ("LSTM", "GRU"),
    "trunk": ("inception-v3", "small"),
}

# What a profile may change: sizes, widths, batch, length, sample counts, backbone; and the learning rate, because the
# step that Adam may take with a weight grows as layers narrow. A test holds the profiles to this list.
# fmt: off
SCALE_KNOBS = frozenset({
    "image_size", "images_per_class", "batch_size", "steps", "learning_rate", "ema_decay", "precision", "compile",
    "log_every", "sample_every", "checkpoint_every", "evaluation_protocol", "channels", "image_features",
    "generator_width", "discriminator_width", "captions_averaged", "trunk", "trunk_width", "trunk_size", "trials",
})
# fmt: on

_LITTLE = dict(images_per_class=8, log_every=10, sample_every=1000, checkpoint_every=1000)
PROFILES: dict[str, dict[str, dict]] = {
    "smoke": {
        "char-cnn-rnn": dict(
            _LITTLE, image_size=64, batch_size=16, steps=40, channels=(32, 48, 32), image_features="aviarynet1"
        ),
        "damsm": dict(
            _LITTLE | dict(sample_every=10),
            image_size=32,
            batch_size=16,
            steps=40,
            trunk="small",
            trunk_width=16,
            trials=200,
        ),
        "gan-cls": dict(
            _LITTLE,
            image_size=32,
            batch_size=16,
            steps=30,
            generator_width=16,
            discriminator_width=16,
            ema_decay=0.9,
            evaluation_protocol="fid200-aviarynet1",
        ),
    },
    "cpu": {
        "char-cnn-rnn": dict(
            image_size=64, batch_size=30, steps=2500, log_every=25, channels=(96, 128, 96), image_features="aviarynet1"
        ),
        "damsm": dict(
            image_size=32,
            batch_size=16,
            steps=1700,
            learning_rate=5e-4,
            trunk="small",
            log_every=25,
            sample_every=100,
            trials=3000,
        ),
        "gan-cls": dict(
            image_size=32,
            batch_size=16,
            steps=2400,
            learning_rate=3e-4,
            captions_averaged=1,
            generator_width=32,
            discriminator_width=24,
            ema_decay=0.998,
            log_every=100,
            sample_every=600,
            evaluation_protocol="fid2k-aviarynet1",
        ),
    },
    "gpu": {
        "char-cnn-rnn": dict(image_size=64, batch_size=30, steps=6000, image_features="aviarynet1"),
        "damsm": dict(image_size=256, steps=6000, trunk_width=64, trunk_size=68, sample_every=500),
        "gan-cls": dict(
            batch_size=64, steps=20000, ema_decay=0.999, sample_every=2000, evaluation_protocol="fid2k-aviarynet1"
        ),
    },
    "paper": {},
}
for _rows in PROFILES.values():
    if "gan-cls" in _rows:
        _rows["gan-cls-int"] = _rows["gan-cls"]


def _default_root(dataset: str, image_size: int) -> str:
    """``$T2I_DATA/<dataset>``; Aviary is drawn at 128 px, or in another folder at 256 px where more is asked for."""
    large = dataset == "aviary" and image_size > 64
    return str(paths.data_root() / (f"{dataset}-256" if large else dataset))


def load(model: str, dataset: str = "aviary", profile: str = "paper", **overrides) -> Config:
    """The settings of ``model`` on ``dataset`` under ``profile``, with ``overrides`` on top.

    ``dataset`` is one of ``DATASETS`` or the path of a folder prepared with ``python -m t2i data prepare``.
    Raises :class:`UserError` for an unknown name, naming the ones that exist.
    """
    folder = dataset not in DATASETS and Path(dataset).expanduser().is_dir()
    kind = "folder" if folder or dataset == "folder" else dataset
    _known("model", model, MODELS)
    _known("dataset", kind, (*DATASETS, "folder"))
    _known("profile", profile, PROFILE_NAMES)
    paper = PAPER[model, kind]
    config = replace(paper, profile=profile, **PROFILES[profile].get(model, {}))
    if folder:
        config = replace(config, dataset="folder", root=str(Path(dataset).expanduser().resolve()))
    names = [f.name for f in fields(config)]
    for name in overrides:
        _known(f"setting of {model}", name, names)
    config = replace(config, **overrides)
    for name, choices in _CHOICES.items():
        if name in names:
            _known(name.replace("_", " "), getattr(config, name), choices)
    root = config.root or _default_root(config.dataset, config.image_size)
    return replace(config, root=str(Path(root).expanduser().resolve()))


def from_dict(values: dict) -> Config:
    """The config that :meth:`Config.to_dict` wrote, with lists back to tuples."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return load(**values)


def difference(config: Config) -> list[tuple[str, object, object]]:
    """(knob, paper's value, this value) for everything in which ``config`` departs from its paper."""
    paper = PAPER[config.model, config.dataset]
    bookkeeping = {"profile", "root", "seed", "device"}
    names = [f.name for f in fields(config) if f.name not in bookkeeping]
    return [(n, getattr(paper, n), getattr(config, n)) for n in names if getattr(paper, n) != getattr(config, n)]


def _known(what: str, name: str, names) -> None:
    if name not in names:
        raise UserError(f"There is no {what} called {name!r}", f"Choose one of: {', '.join(names)}.")
