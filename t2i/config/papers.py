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

# A generator is a list of stages. A new hybrid is a new row.
COMPOSITIONS: dict[str, tuple[str, ...]] = {
    "attngan": ("attention", "attention"),
    "dm-gan": ("memory", "memory"),
    "attndm-gan": ("attention", "memory"),
    "dmattn-gan": ("memory", "attention"),
}


def _multi_stage(name: str, dataset: str) -> MultiStageConfig:
    """The published numbers of a composition; one that nobody published gets DM-GAN's."""
    coco = dict(words=12, captions_per_image=5, residual_blocks=3, damsm_weight=50.0)
    config = MultiStageConfig(name, dataset, refinements=COMPOSITIONS[name], **(coco if dataset == "coco" else {}))
    if name == "attngan":
        sizes = dict(generator_width=48, discriminator_width=96, batch_size=14, epochs=120)
        birds = dict(generator_width=32, discriminator_width=64, batch_size=20, epochs=600)
        return replace(config, norm="batch", **(sizes if dataset == "coco" else birds))
    if dataset == "coco":
        return replace(config, batch_size=16, epochs=200)
    return replace(config, epochs=504) if name in ("attndm-gan", "dmattn-gan") else config


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
