"""The published setting of every model on every data set."""

from dataclasses import replace

from t2i.config.settings import (
    CaptionPairsConfig,
    CharCnnRnnConfig,
    Config,
    DamsmConfig,
    GanClsConfig,
    MultiStageConfig,
    StackGanConfig,
    StackGanStage2Config,
    StackGanTreeConfig,
)
from t2i.errors import check_name

DRAWN = ("aviary", "aviary-200")  # the data sets of drawn birds; pictures of all others are taken for photographs

# A generator is a list of stages: an initial one, then refinements. A new hybrid is a new row.
COMPOSITIONS: dict[str, tuple[str, ...]] = {
    "attngan": ("sentence", "attention", "attention"),
    "dm-gan": ("sentence", "memory", "memory"),
    "attndm-gan": ("sentence", "attention", "memory"),
    "dmattn-gan": ("sentence", "memory", "attention"),
    "ig-dm-gan": ("sentence", "memory", "memory"),  # below MSMT-GAN's ladder: DM-GAN with the numbers of its rungs
    "mtwig-dm-gan": ("tails", "memory", "memory"),
    "mtwig-sdm-gan": ("tails", "spatial", "spatial"),
    "msmt-gan": ("tails", "spatial", "spatial"),
    # MSMT-GAN's table 4: an initial stage alone
    "ig": ("sentence",),
    "mtwig-ks1": ("tails",),
    "mtwig-ks2": ("tails",),
    "mtwig-ks3": ("tails",),
}

# DM-GAN's numbers, which a row that nobody published gets too, and what the others differ in besides their stages. A
# pair is (birds and flowers, COCO). Numbers of a stage of one's own: "mine": dict(stage_options=dict(sharpness=4.0)).
_DM_GAN = dict(
    batch_size=(10, 16), epochs=(800, 200), residual_blocks=(2, 3), damsm_weight=(5.0, 50.0), words=(18, 12),
    captions_per_image=(10, 5),
)  # fmt: skip
# The number of residual blocks is inferred from the paper's table of sizes.
_MSMT_GAN = dict(generator_width=48, batch_size=20, epochs=(700, 210), residual_blocks=(3, 4), damsm_scales="all")
_TABLE_4 = _MSMT_GAN | dict(epochs=(300, 60), image_size=64)
ROWS: dict[str, dict] = {
    "attngan": dict(
        norm="batch", generator_width=(32, 48), discriminator_width=(64, 96), batch_size=(20, 14), epochs=(600, 120)
    ),
    "attndm-gan": dict(epochs=(504, 200)),
    "dmattn-gan": dict(epochs=(504, 200)),
    "ig-dm-gan": _MSMT_GAN,
    "mtwig-dm-gan": _MSMT_GAN,
    "mtwig-sdm-gan": _MSMT_GAN,
    "msmt-gan": _MSMT_GAN | dict(epochs=(1000, 210), heads=6),
    "ig": _TABLE_4,
    "mtwig-ks1": _TABLE_4 | dict(tail_kernel=1),
    "mtwig-ks2": _TABLE_4 | dict(tail_kernel=2),
    "mtwig-ks3": _TABLE_4,
}  # fmt: skip


def _multi_stage(name: str, dataset: str) -> MultiStageConfig:
    """The published numbers of a composition."""
    initial, *refinements = COMPOSITIONS[name]
    numbers = (_DM_GAN | ROWS.get(name, {})).items()
    numbers = {key: value[dataset == "coco"] if isinstance(value, tuple) else value for key, value in numbers}
    return MultiStageConfig(name, dataset, initial=initial, refinements=tuple(refinements), **numbers)


# Stage-I of StackGAN and the block that each model of the report is made of.
STAGE_ONE = {"stackgan-cnn": "plain", "stackgan-res": "residual", "stackgan-se": "squeeze"}


def _encoders(dataset: str, view: dict) -> list[Config]:
    """Char-CNN-RNN as CVPR 2016 has it, and as GAN-CLS read with it (icml2016's CONFIG): wider, and for birds with a
    GRU over 18 steps. COCO has one alone, which sees captions and no pictures. And DAMSM."""
    names = "char-cnn-rnn", "char-cnn-rnn-icml"
    if dataset == "coco":
        damsm = DamsmConfig("damsm", dataset, epochs=100, words=15, captions_per_image=5)
        return [*(CaptionPairsConfig(name, dataset) for name in names), damsm]
    wide = dict(variant="icml-rnn" if dataset == "flowers" else "icml-gru", channels=(384, 512, 512))
    characters = [CharCnnRnnConfig(name, dataset, **view | own) for name, own in zip(names, ({}, wide), strict=True)]
    return [*characters, DamsmConfig("damsm", dataset)]


def _stack_gans(dataset: str, given: dict) -> list[Config]:
    """StackGAN's stages and StackGAN++. On COCO the numbers of StackGAN's code, which was published for it alone."""
    first, second = given, {}
    if dataset == "coco":
        widths = dict(generator_width=192, discriminator_width=96)
        first = given | widths | dict(batch_size=128, epochs=120, halve_every=20)
        second = dict(batch_size=40, epochs=100, residual_blocks=2, stage1="stackgan-cnn", block="plain")
    return [
        *(StackGanConfig(name, dataset, block=block, **first) for name, block in STAGE_ONE.items()),
        StackGanStage2Config("stackgan-stage2", dataset, **first | second),
        StackGanTreeConfig("stackgan2", dataset, text_encoder=given["text_encoder"]),
    ]


def _papers(dataset: str) -> list[Config]:
    """The published setting of every model on one data set.

    Both Aviaries follow CUB, but for two things: their birds are cropped to their boxes in every model, as in all
    papers after GAN-CLS, because at the sizes of the small profiles a whole picture holds too little bird; and every
    model keeps the aspect, so that all are measured against the same real pictures. There and in a folder of one's own,
    all GANs of sentences read with the encoder of CVPR 2016, so that one is enough.
    """
    drawn = dataset in DRAWN
    view = {"crop": "box", "resize": "shorter"} if drawn else {}
    ours = drawn or dataset == "folder"
    given = view | {"text_encoder": "char-cnn-rnn" if ours else "char-cnn-rnn-icml"}
    gan = GanClsConfig("gan-cls", dataset, **given)
    if dataset == "coco":  # icml2016's COCO script
        widths = {"generator_width": 196, "discriminator_width": 196}
        gan = replace(gan, **widths, captions_averaged=3, captions_replaced=False, epochs=200, halve_every=40)
    interpolating = replace(gan, model="gan-cls-int", interpolation_weight=1.0)
    stages = [_multi_stage(name, dataset) for name in COMPOSITIONS]
    return [*_encoders(dataset, view), gan, interpolating, *stages, *_stack_gans(dataset, given)]


PAPER: dict[tuple[str, str], Config] = {
    (config.model, dataset): config
    for dataset in (*DRAWN, "cub", "flowers", "coco", "folder")
    for config in _papers(dataset)
}
MODELS = tuple(dict.fromkeys(model for model, _ in PAPER))


def paper(model: str, dataset: str) -> Config:
    """The published setting of ``model`` on ``dataset``; where no paper knows the data set, CUB's. :class:`UserError`
    for an unknown model."""
    check_name("model", model, MODELS)
    return PAPER.get((model, dataset)) or replace(PAPER[model, "cub"], dataset=dataset)
