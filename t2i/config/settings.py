"""The settings of each model, as frozen data classes whose defaults are the papers' numbers, each with its source.

What can be chosen stands in a field's annotation, as a ``Literal``: :func:`t2i.config.load` refuses anything else, and
the command line shows the choices.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import ClassVar, Literal

from t2i import paths
from t2i.errors import UserError

Crop = Literal["box", "whole"]
Resize = Literal["shorter", "square"]
Precision = Literal["auto", "32-true", "bf16-mixed", "tf32"]
Variant = Literal["cvpr", "icml-gru", "icml-rnn"]
Features = Literal["googlenet", "aviarynet1", "efficientnet-lite0"]
Rnn = Literal["LSTM", "GRU"]
Trunk = Literal["inception-v3", "small", "efficientnet-lite0"]
Norm = Literal["batch", "spectral"]
Mask = Literal["correct", "official"]
Scales = Literal["last", "all"]
Objective = Literal["code", "paper"]
Block = Literal["plain", "residual", "squeeze"]
Statistics = Literal["running", "measured"]

PUBLISHED_EMBEDDINGS = "published-embeddings"  # as a ``text_encoder``: vectors of StackGAN's birds, and no encoder
OWN = "folder-"  # before the name of a folder of one's own, where it stands for the data set
ENLARGEMENT = 4  # StackGAN's Stage-II draws so many times as large as its Stage-I


def _because(default, source: str):
    """A field whose default carries the place it comes from, or what it is where it is ours."""
    return field(default=default, metadata={"source": source})


def without_places(settings: dict) -> dict:
    """``settings``, as :meth:`Config.to_dict` gives them, without what is true on this machine alone: where the data
    lie, the device, and the folders of what was built on, whose last names stay."""
    given = {name: PurePath(settings[name]).name for name in ("text_encoder", "stage1") if settings.get(name)}
    return settings | {"root": None, "device": "auto"} | given


def fingerprint(settings: dict, without: tuple[str, ...] = ()) -> str:
    """Eight hex digits over ``settings`` as :meth:`Config.to_dict` gives them, but for root, device and ``without``."""
    kept = {name: value for name, value in settings.items() if name not in ("root", "device", *without)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Config:
    """What every model needs to train; each model adds its own fields below."""

    kind: ClassVar[str] = "gan"  # what the model is, whatever it is called

    model: str
    dataset: str
    profile: str = "paper"
    seed: int = _because(0, "of the weights, the batches and the noise")
    root: str | None = _because(None, "where the data set lies; none: in $T2I_DATA, looked up when it is read")

    image_size: int = _because(64, "of the largest picture, in pixels")
    crop: Crop = _because("whole", "box: around the bounding box where there is one (StackGAN, AttnGAN); whole (Reed)")
    resize: Resize = _because("square", "shorter: keep the aspect (AttnGAN); square: squeeze (Reed, StackGAN)")
    images_per_class: int = _because(0, "the first so many; 0: all")

    batch_size: int = _because(64, "icml2016 scripts")
    epochs: int = _because(600, "icml2016 scripts, and StackGAN++'s code")
    steps: int = _because(0, "0: as many as the epochs hold")
    learning_rate: float = _because(2e-4, "icml2016 scripts, and every GAN since")
    ema_decay: float = _because(0.0, "of the averaged weights; 0: sample from the live weights")

    precision: Precision = _because("32-true", "the papers' arithmetic; auto: bfloat16 where the device computes in it")
    compile: bool = _because(False, "the networks, by torch.compile")
    device: str = _because("auto", "auto, cpu, cuda or mps")
    log_every: int = _because(50, "in steps")
    sample_every: int = _because(2000, "in steps")
    checkpoint_every: int = _because(1000, "in steps")
    evaluation_protocol: str = _because("fid30k-inception-tf", "a name of t2i.metrics.protocols")

    @property
    def data_name(self) -> str:
        """What the data set is called in names of runs and in tables: a prepared folder has its own name, marked so
        that one called "cub" is not taken for CUB."""
        return f"{OWN}{Path(self.root).name}" if self.dataset == "folder" and self.root else self.dataset

    @property
    def name(self) -> str:
        """The run's name, which is also the name of its folder."""
        return f"{self.model}-{self.data_name}-{self.profile}-s{self.seed}"

    @property
    def directory(self) -> Path:
        return paths.runs_root() / self.name

    def fingerprint(self) -> str:
        """Eight hex digits over every field but ``root`` and ``device``, which say where a run was made: two runs with
        the same fingerprint had the same settings."""
        return fingerprint(self.to_dict())

    def to_dict(self) -> dict:
        """Every field as JSON and checkpoints keep it: tuples as lists; :func:`from_dict` reads it back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class CharCnnRnnConfig(Config):
    """Char-CNN-RNN under the structured joint embedding (Reed et al., CVPR 2016, with the numbers of its scripts)."""

    kind: ClassVar[str] = "char-cnn-rnn"

    batch_size: int = _because(40, "cvpr2016 scripts: 40 distinct classes a batch")
    epochs: int = _because(200, "cvpr2016 scripts; an epoch is one iteration per class")
    learning_rate: float = _because(7e-4, "cvpr2016 scripts")
    decay_per_epoch: float = _because(0.98, "cvpr2016 scripts")
    image_size: int = _because(224, "GoogLeNet's input")
    variant: Variant = _because(
        "cvpr",
        "cvpr: 3 poolings, RNN over 8 steps; icml-gru: 2 poolings, GRU over 18; icml-rnn: cvpr with 512 channels",
    )
    channels: tuple[int, ...] = _because((384, 512, 256), "HybridCNN.lua")
    embedding_size: int = _because(1024, "GoogLeNet's pooled features")
    image_features: Features = _because("googlenet", "cvpr2016: 1,024-d GoogLeNet features")
    views: int = _because(10, "cvpr2016: of an image, one drawn in each step; the middle is the first of the ten")
    evaluation_protocol: str = _because("zero-shot", "Reed et al., CVPR 2016")


@dataclass(frozen=True)
class CaptionPairsConfig(CharCnnRnnConfig):
    """Char-CNN-RNN as GAN-CLS reads with it on COCO: two captions of one image are embedded jointly (Reed et al., ICML
    2016, with the numbers of scripts/train_coco_txt.sh). The fields of pictures are without effect."""

    batch_size: int = _because(64, "icml2016 train_coco_txt.sh")
    epochs: int = _because(200, "icml2016 train_coco_txt.sh; its CONFIG names a file saved after 80")
    learning_rate: float = _because(2e-4, "icml2016 train_coco_txt.sh")
    decay_per_epoch: float = _because(1.0, "icml2016: none besides the halving")
    halve_every: int = _because(50, "icml2016 train_coco_txt.sh: decay_every, in epochs")
    variant: Variant = _because("icml-gru", "icml2016 train_coco_txt.sh: gru18")
    channels: tuple[int, ...] = _because((384, 512, 512), "icml2016 HybridCNNLong.lua; train_coco_txt.sh: cnn_dim")
    evaluation_protocol: str = _because("caption-recall", "ours: icml2016 measures nothing")


@dataclass(frozen=True)
class DamsmConfig(Config):
    """DAMSM, the similarity of words and regions (Xu et al., AttnGAN, CVPR 2018, with the numbers of its code)."""

    kind: ClassVar[str] = "damsm"

    crop: Crop = _because("box", "AttnGAN's code: every set with boxes is cropped to them")
    resize: Resize = _because("shorter", "AttnGAN's code: shorter side to 299 * 76 / 64")
    image_size: int = _because(299, "AttnGAN's code: BASE_SIZE 299 while pre-training")
    batch_size: int = _because(48, "AttnGAN's code: DAMSM yml")
    epochs: int = _because(200, "the released bird encoders: text_encoder200.pth")
    learning_rate: float = _because(2e-3, "AttnGAN's code: ENCODER_LR")
    decay_per_epoch: float = _because(0.98, "AttnGAN's code: until a tenth is left")
    clip_norm: float = _because(0.25, "AttnGAN's code: RNN_GRAD_CLIP, on the text encoder alone")
    rnn: Rnn = _because("LSTM", "AttnGAN's code: RNN_TYPE; GRU is the other option")
    words: int = _because(18, "AttnGAN's code: WORDS_NUM; of a longer caption, so many random words")
    captions_per_image: int = _because(10, "AttnGAN's code: the first ten lines")
    gamma_attention: float = _because(4.0, "AttnGAN's code: GAMMA1")
    gamma_words: float = _because(5.0, "AttnGAN, section 4: gamma 2")
    gamma_matching: float = _because(10.0, "AttnGAN, section 4: gamma 3")
    class_mask: bool = _because(True, "AttnGAN's code: pairs of one class are not told apart")
    trunk: Trunk = _because(
        "inception-v3",
        "AttnGAN, section 3.2: ImageNet weights, frozen; small: learned from nothing; efficientnet-lite0: frozen, ours",
    )
    trunk_width: int = _because(32, "of the small trunk; ours")
    trunk_size: int = _because(34, "of the small trunk, in pixels; ours")
    trials: int = _because(30_000, "DM-GAN's R-precision")
    evaluation_protocol: str = _because("r-precision", "AttnGAN, section 4.1")


@dataclass(frozen=True)
class GanConfig(Config):
    """What every GAN has: texts that an encoder reads, noise, two widths, and one picture or several."""

    reads: ClassVar[str] = "char-cnn-rnn"  # the kind of model that its text encoder must be a run of

    text_encoder: str = _because("char-cnn-rnn", "every GAN before AttnGAN; or the folder of an encoder's run")
    noise_size: int = _because(100, "nz and Z_DIM in all of the line's code")
    generator_width: int = _because(64, "channels, in multiples; ngf and GF_DIM in the code")
    discriminator_width: int = _because(64, "channels, in multiples; ndf and DF_DIM in the code")
    halve_every: int = _because(0, "epochs after which the learning rate is halved; 0: never")
    write_back_every: int = _because(0, "steps after which training goes on from the averaged weights; 0: never")
    batch_norm_statistics: Statistics = _because("running", "the line's code; measured: anew, for the averaged weights")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides of the images in pixels, small to large."""
        return (self.image_size,)

    @property
    def smallest(self) -> int:
        """The smallest ``image_size``: the first picture has 8 px at least, and each later one is twice as large."""
        return 8 << (len(self.sizes) - 1)


@dataclass(frozen=True)
class ConditionedConfig(GanConfig):
    """What StackGAN and StackGAN++ have besides: one vector for a caption, and a condition that is drawn from it."""

    sentence_size: int = _because(1024, "the width of Char-CNN-RNN's vectors")
    condition_size: int = _because(128, "CONDITION_DIM in StackGAN's code, EMBEDDING_DIM in StackGAN++'s; the report")
    kl_weight: float = _because(2.0, "COEFF.KL in both codes; the report")


@dataclass(frozen=True)
class GanClsConfig(GanConfig):
    """GAN-CLS and GAN-CLS-INT (Reed et al., ICML 2016, with the numbers of the authors' own scripts)."""

    sentence_size: int = _because(1024, "the width of Char-CNN-RNN's vectors")
    text_size: int = _because(128, "icml2016 scripts: nt")
    generator_width: int = _because(128, "icml2016 scripts: ngf")
    captions_averaged: int = _because(4, "icml2016 scripts: numCaption")
    captions_replaced: bool = _because(True, "icml2016's loader for folders: a caption may be drawn twice")
    wrong_weight: float = _because(0.5, "icml2016 scripts: cls_weight")
    interpolation_weight: float = _because(0.0, "0 is GAN-CLS; icml2016's INT scripts use 1")
    halve_every: int = _because(100, "icml2016 scripts: decay_every, in epochs")


@dataclass(frozen=True)
class MultiStageConfig(GanConfig):
    """Every generator that is a list of stages; the numbers are those of DM-GAN's bird yml, where nothing else is
    said. The fields of stages that a model does not have are without effect."""

    reads: ClassVar[str] = "damsm"

    initial: str = _because("sentence", "the first stage; each model's stand in config.COMPOSITIONS")
    refinements: tuple[str, ...] = _because((), "the stages after it, each of which doubles the size")
    crop: Crop = _because("box", "AttnGAN's code")
    resize: Resize = _because("shorter", "AttnGAN's code: shorter side to 256 * 76 / 64")
    image_size: int = _because(256, "AttnGAN: of the last stage; each before has half of it")
    batch_size: int = _because(10, "DM-GAN's code")
    epochs: int = _because(800, "DM-GAN's code")
    ema_decay: float = _because(0.999, "AttnGAN's code")
    text_encoder: str = _because("damsm", "AttnGAN, section 3; or a run that has an encoder: a folder or released:NAME")
    condition_size: int = _because(100, "AttnGAN's code: CONDITION_DIM")
    generator_width: int = _because(64, "DM-GAN's code: GF_DIM; the paper's N_r")
    discriminator_width: int = _because(32, "DM-GAN's code: DF_DIM")
    residual_blocks: int = _because(2, "DM-GAN's code: R_NUM")
    norm: Norm = _because("spectral", "DM-GAN's code; AttnGAN's discriminators have batch norms")
    words: int = _because(18, "AttnGAN's code: WORDS_NUM")
    captions_per_image: int = _because(10, "AttnGAN's code: the first ten lines")
    mask: Mask = _because("correct", "ours; official: the tiled mask, which the released weights were trained with")
    objective: Objective = _because("code", "code: halves, thirds and wrong pairs; paper: AttnGAN's equations 4 and 5")
    damsm_weight: float = _because(5.0, "AttnGAN's code: LAMBDA; DM-GAN and the hybrids: λ₂")
    damsm_scales: Scales = _because("last", "AttnGAN's and DM-GAN's code; all: every stage, as MSMT-GAN's equation 19")
    kl_weight: float = _because(1.0, "AttnGAN's code; DM-GAN and the hybrids: λ₁")
    gamma_attention: float = _because(4.0, "AttnGAN's code: GAMMA1")
    gamma_words: float = _because(5.0, "AttnGAN's code: GAMMA2")
    gamma_matching: float = _because(10.0, "AttnGAN's code: GAMMA3")
    tail_kernel: int = _because(3, "MSMT-GAN, section 4.1: word tri-grams")
    heads: int = _because(1, "MSMT-GAN, section 4: 6; 1 in the ablation without its multi-headed mechanism")
    grid: int = _because(8, "MSMT-GAN, section 4: h, cells along a side")
    redundancy_weight: float = _because(0.5, "MSMT-GAN, section 7.3: λ₂")
    stage_options: dict[str, float] = field(
        default_factory=dict, hash=False, metadata={"source": "numbers of stages that no paper has, by name"}
    )

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.image_size >> k for k in reversed(range(1 + len(self.refinements))))

    def option(self, name: str) -> float:
        """A number that stages read: the one of ``stage_options``, or the field of that name. The weight of a stage's
        own loss term is the option ``<term>_weight``."""
        if name in self.stage_options:
            return self.stage_options[name]
        if name not in self.__dataclass_fields__:
            raise UserError(f"{self.model} has no number called {name!r}", "Give its row in config/papers.py one.")
        return getattr(self, name)


@dataclass(frozen=True)
class StackGanConfig(ConditionedConfig):
    """StackGAN's Stage-I: the numbers of the report that compares three kinds of blocks (Rentoula, Alexandropoulos,
    2024), and those of the authors' PyTorch code where it says nothing."""

    block: Block = _because("plain", "plain: StackGAN's code; residual and squeeze: the report")
    crop: Crop = _because("box", "StackGAN's code")
    resize: Resize = _because("square", "StackGAN's code: to 76/64 of the size, whatever the aspect")
    batch_size: int = _because(64, "the report")
    epochs: int = _because(300, "the report")
    halve_every: int = _because(300, "the report: in epochs; as many as it trains, so the rate is never halved")
    text_encoder: str = _because(
        "char-cnn-rnn", "StackGAN, section 4; or the folder of an encoder's run; or published-embeddings: the report"
    )
    generator_width: int = _because(128, "the report: generator feature dimension; Stage-I has 8 times as many at 4 px")
    discriminator_width: int = _because(64, "the report: discriminator feature dimension")


@dataclass(frozen=True)
class StackGanStage2Config(StackGanConfig):
    """StackGAN's Stage-II, likewise; ``block`` is that of the Stage-I inside, and follows from ``stage1``."""

    stage1: str = _because("stackgan-res", "the report stacks on ResBlocks; or the folder of a Stage-I run")
    block: Block = _because("residual", "of Stage-I")
    image_size: int = _because(256, "StackGAN: four times Stage-I's")
    batch_size: int = _because(32, "the report")
    residual_blocks: int = _because(4, "StackGAN's code: R_NUM")

    @property
    def stage1_size(self) -> int:
        """The side of Stage-I's picture in pixels."""
        return self.image_size // ENLARGEMENT

    @property
    def smallest(self) -> int:
        return super().smallest * ENLARGEMENT


@dataclass(frozen=True)
class StackGanTreeConfig(ConditionedConfig):
    """StackGAN++, three stages trained together; the numbers are those of its code's birds_3stages.yml."""

    stages: int = _because(3, "StackGAN++'s code: TREE.BRANCH_NUM")
    crop: Crop = _because("box", "StackGAN++'s code")
    resize: Resize = _because("shorter", "StackGAN++'s code: shorter side to 256 * 76 / 64")
    image_size: int = _because(256, "StackGAN++: of the last stage; each before has half of it")
    batch_size: int = _because(24, "StackGAN++'s code")
    ema_decay: float = _because(0.999, "StackGAN++'s code")
    write_back_every: int = _because(2000, "StackGAN++'s code: save_model leaves the average in the live network")
    generator_width: int = _because(64, "StackGAN++'s code: GF_DIM; each later stage has half")
    residual_blocks: int = _because(2, "StackGAN++'s code: R_NUM")

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.image_size >> k for k in reversed(range(self.stages)))
