"""The published setting of every model on every data set."""

from dataclasses import replace

from t2i.config.settings import (
    CharCnnRnnConfig,
    Config,
    DamsmConfig,
    GanClsConfig,
    MultiStageConfig,
    StackGanConfig,
    StackGanStage2Config,
    StackGanTreeConfig,
)

# A generator is a list of stages: an initial one, then refinements. A new hybrid is a new row.
COMPOSITIONS: dict[str, tuple[str, ...]] = {
    "attngan": ("sentence", "attention", "attention"),
    "dm-gan": ("sentence", "memory", "memory"),
    "attndm-gan": ("sentence", "attention", "memory"),
    "dmattn-gan": ("sentence", "memory", "attention"),
    "mtwig-dm-gan": ("tails", "memory", "memory"),
    "mtwig-sdm-gan": ("tails", "spatial", "spatial"),
    "msmt-gan": ("tails", "spatial", "spatial"),
    # MSMT-GAN's table 4: an initial stage alone
    "ig": ("sentence",),
    "mtwig-ks1": ("tails",),
    "mtwig-ks2": ("tails",),
    "mtwig-ks3": ("tails",),
}


def _multi_stage(name: str, dataset: str) -> MultiStageConfig:
    """The published numbers of a composition; one that nobody published gets DM-GAN's."""
    coco = dict(words=12, captions_per_image=5, residual_blocks=3, damsm_weight=50.0)
    initial, *refinements = COMPOSITIONS[name]
    config = MultiStageConfig(name, dataset, initial=initial, refinements=tuple(refinements))
    config = replace(config, **(coco if dataset == "coco" else {}))
    if name in MSMT_GAN:
        return _msmt_gan(config)
    if name == "attngan":
        sizes = dict(generator_width=48, discriminator_width=96, batch_size=14, epochs=120)
        birds = dict(generator_width=32, discriminator_width=64, batch_size=20, epochs=600)
        return replace(config, norm="batch", **(sizes if dataset == "coco" else birds))
    if dataset == "coco":
        return replace(config, batch_size=16, epochs=200)
    return replace(config, epochs=504) if name in ("attndm-gan", "dmattn-gan") else config


# What the rows of MSMT-GAN's tables 1 and 4 differ in besides their stages, and for how many epochs (birds, COCO).
MSMT_GAN = {
    "mtwig-dm-gan": dict(epochs=(700, 210)),
    "mtwig-sdm-gan": dict(epochs=(700, 210)),
    "msmt-gan": dict(epochs=(1000, 210), heads=6),
    "ig": dict(epochs=(300, 60), image_size=64),
    "mtwig-ks1": dict(epochs=(300, 60), image_size=64, tail_kernel=1),
    "mtwig-ks2": dict(epochs=(300, 60), image_size=64, tail_kernel=2),
    "mtwig-ks3": dict(epochs=(300, 60), image_size=64),
}


def _msmt_gan(config: MultiStageConfig) -> MultiStageConfig:
    """The paper's own numbers. Its number of residual blocks is inferred from its table of sizes: 3, and 4 on COCO."""
    row = dict(MSMT_GAN[config.model])
    epochs = row.pop("epochs")[config.dataset == "coco"]
    blocks = 4 if config.dataset == "coco" else 3
    own = dict(generator_width=48, batch_size=20, residual_blocks=blocks, damsm_scales="all")
    return replace(config, epochs=epochs, **own, **row)


# Stage-I of StackGAN and the block that each model of the report is made of.
STAGE_ONE = {"stackgan-cnn": "plain", "stackgan-res": "residual", "stackgan-se": "squeeze"}


def _stack_gans(dataset: str, view: dict) -> list[Config]:
    """StackGAN's stages and StackGAN++. On COCO the numbers of StackGAN's code, which was published for it alone."""
    coco = dict(generator_width=192, discriminator_width=96, batch_size=128, epochs=120, halve_every=20)
    given = view | (coco if dataset == "coco" else {})
    second = dict(batch_size=40, epochs=100, residual_blocks=2) if dataset == "coco" else {}
    first = [StackGanConfig(name, dataset, block=block, **given) for name, block in STAGE_ONE.items()]
    return [
        *first,
        StackGanStage2Config("stackgan-stage2", dataset, **given | second),
        StackGanTreeConfig("stackgan2", dataset),
    ]


def _papers() -> dict[tuple[str, str], Config]:
    """The published setting of every model on every data set.

    Aviary follows CUB, but for one thing: its birds are cropped to their boxes in every model, as in all papers after
    GAN-CLS, because at the sizes of the small profiles a whole picture holds too little bird; and every model keeps
    the aspect, so that all are measured against the same real pictures.
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
        stages = [_multi_stage(name, dataset) for name in COMPOSITIONS]
        table.update({(config.model, dataset): config for config in (encoder, damsm, gan, interpolating, *stages)})
        table.update({(config.model, dataset): config for config in _stack_gans(dataset, view)})
    return table


PAPER = _papers()
MODELS = tuple(dict.fromkeys(model for model, _ in PAPER))
