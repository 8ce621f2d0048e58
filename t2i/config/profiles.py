"""The profiles: what each replaces of a paper's numbers, so that the same code runs at every size."""

from t2i.config.papers import COMPOSITIONS, STAGE_ONE

# What a profile may change: sizes, widths, batch, length, sample counts, backbone; the learning rate, because the step
# that Adam may take with a weight grows as layers narrow; and the weight of the divergence, which kills StackGAN's
# rectified μ in a short run before a picture needs it. A test holds the profiles to this list.
# fmt: off
SCALE_KNOBS = frozenset({
    "image_size", "images_per_class", "batch_size", "steps", "learning_rate", "ema_decay", "precision", "compile",
    "log_every", "sample_every", "checkpoint_every", "evaluation_protocol", "channels", "image_features", "views",
    "generator_width", "discriminator_width", "captions_averaged", "trunk", "trunk_width", "trunk_size", "trials",
    "grid", "kl_weight", "batch_norm_statistics",
})
# fmt: on

_MEASURED = dict(batch_norm_statistics="measured")  # a short run's average is far from its live weights
_SMOKE = dict(images_per_class=8, log_every=10, sample_every=1000, checkpoint_every=1000)
_SMOKE_GAN = _SMOKE | _MEASURED | dict(ema_decay=0.9, evaluation_protocol="fid200-aviarynet1")
_GAN = _MEASURED | dict(evaluation_protocol="fid2k-aviarynet1", precision="auto")
_NIGHT = _GAN | dict(ema_decay=0.999, log_every=100, sample_every=1000, checkpoint_every=500)
_CPU_STAGES = _GAN | dict(batch_size=16, steps=800, ema_decay=0.995, log_every=25, sample_every=200)

# "stages" stands for every row of ``COMPOSITIONS``, "stage1" for StackGAN's three Stage-I networks.
# fmt: off
_FAMILIES: dict[str, dict[str, dict]] = {
    "smoke": {
        "char-cnn-rnn": _SMOKE | dict(
            image_size=64, batch_size=16, steps=40, channels=(32, 48, 32), image_features="aviarynet1", views=1
        ),
        "damsm": _SMOKE | dict(
            image_size=32, batch_size=16, steps=40, trunk="small", trunk_width=16, trials=200, sample_every=10
        ),
        "gan-cls": _SMOKE_GAN | dict(
            image_size=32, batch_size=16, steps=30, generator_width=16, discriminator_width=16
        ),
        "stage1": _SMOKE_GAN | dict(image_size=16, batch_size=16, steps=30, generator_width=8, discriminator_width=8),
        "stackgan-stage2": _SMOKE_GAN | dict(
            image_size=64, batch_size=8, steps=20, generator_width=8, discriminator_width=4
        ),
        "stackgan2": _SMOKE_GAN | dict(
            image_size=32, batch_size=8, steps=20, generator_width=16, discriminator_width=4
        ),
        "stages": _SMOKE_GAN | dict(image_size=32, batch_size=8, steps=20, generator_width=8, discriminator_width=4),
    },
    "cpu": {
        "char-cnn-rnn": dict(
            precision="auto", image_size=64, batch_size=30, steps=2500, log_every=25, channels=(96, 128, 96),
            image_features="aviarynet1", views=1,
        ),
        "damsm": dict(
            precision="auto", image_size=32, batch_size=16, steps=1700, learning_rate=5e-4, trunk="small", trials=3000,
            log_every=25, sample_every=100,
        ),
        "gan-cls": _GAN | dict(
            image_size=32, batch_size=16, steps=2400, learning_rate=3e-4, captions_averaged=1, generator_width=32,
            discriminator_width=24, ema_decay=0.998, log_every=100, sample_every=600,
        ),
        "stage1": _GAN | dict(
            image_size=16, batch_size=16, steps=2800, learning_rate=3e-4, kl_weight=0.05, generator_width=24,
            discriminator_width=8, ema_decay=0.998, log_every=100, sample_every=700,
        ),
        "stackgan-stage2": _CPU_STAGES | dict(
            image_size=64, steps=1200, learning_rate=5e-4, kl_weight=0.05, generator_width=24, discriminator_width=12,
            sample_every=300,
        ),
        "stackgan2": _CPU_STAGES | dict(
            image_size=32, learning_rate=3e-4, generator_width=32, discriminator_width=16
        ),
        "stages": _CPU_STAGES | dict(image_size=32, learning_rate=6e-4, generator_width=32, discriminator_width=16),
    },
    "night": {  # on aviary-200
        "char-cnn-rnn": dict(
            precision="auto", image_size=64, batch_size=40, steps=8000, log_every=50, channels=(96, 128, 96),
            image_features="aviarynet1", views=1,
        ),
        "damsm": dict(
            precision="auto", image_size=32, batch_size=32, steps=2500, learning_rate=5e-4, trunk="small", trials=3000,
            log_every=50, sample_every=500, checkpoint_every=500,
        ),
        "gan-cls": _NIGHT | dict(
            batch_size=32, steps=20000, captions_averaged=1, generator_width=48, discriminator_width=32
        ),
        "stage1": _NIGHT | dict(
            image_size=32, batch_size=32, steps=6000, kl_weight=0.05, generator_width=32, discriminator_width=16
        ),
        "stackgan-stage2": _NIGHT | dict(  # after 6,000 steps its discriminator had won: blots, whatever the noise
            image_size=128, batch_size=16, steps=5000, kl_weight=0.05, generator_width=32, discriminator_width=16
        ),
        "stackgan2": _NIGHT | dict(
            image_size=32, batch_size=16, steps=12000, learning_rate=3e-4, generator_width=32, discriminator_width=16
        ),
        "stages": _NIGHT | dict(
            image_size=32, batch_size=16, steps=8000, learning_rate=6e-4, kl_weight=0.1, generator_width=32,
            discriminator_width=16,
        ),
    },
    "gpu": {
        "char-cnn-rnn": dict(
            precision="auto", image_size=64, batch_size=30, steps=6000, image_features="aviarynet1", views=1
        ),
        "damsm": dict(
            precision="auto", image_size=64, steps=2000, learning_rate=5e-4, trunk_width=64, trunk_size=68,
            sample_every=500,
        ),
        "gan-cls": _GAN | dict(batch_size=64, steps=20000, generator_width=64, ema_decay=0.999, sample_every=2000),
        "stage1": _GAN | dict(steps=20000, ema_decay=0.999),
        "stackgan-stage2": _GAN | dict(steps=6000, ema_decay=0.999),
        "stackgan2": _GAN | dict(steps=6000),
        "stages": _GAN | dict(
            image_size=64, batch_size=32, steps=8000, generator_width=32, discriminator_width=32, sample_every=2000
        ),
    },
    "paper": {},
}

# What a profile replaces besides where pictures are not drawn: AviaryNet knows drawn birds alone. "gans" stands for
# every GAN.
_LITE0 = "efficientnet-lite0"
_FAMILIES_ON_PHOTOGRAPHS: dict[str, dict[str, dict]] = {
    "smoke": {
        "char-cnn-rnn": dict(image_features=_LITE0),
        "gans": dict(evaluation_protocol="fid200-lite0"),
    },
    "cpu": {
        "char-cnn-rnn": dict(image_features=_LITE0),
        "gans": dict(evaluation_protocol="fid2k-lite0"),
    },
    "night": {
        "char-cnn-rnn": dict(image_features=_LITE0, image_size=128),
        "damsm": dict(trunk=_LITE0, image_size=64),
        "gans": dict(evaluation_protocol="fid2k-lite0"),
    },
    "gpu": {
        "char-cnn-rnn": dict(image_features=_LITE0, image_size=128),
        "damsm": dict(trunk=_LITE0),
        "gans": dict(evaluation_protocol="fid2k-lite0"),
    },
    "paper": {},
}
# fmt: on


def _rows(families: dict[str, dict], profile: str) -> dict[str, dict]:
    """A row for each model, from those of the families."""
    rows = {name: row for name, row in families.items() if name not in ("stage1", "stages")}
    rows |= dict.fromkeys(STAGE_ONE, families["stage1"])
    rows |= {"gan-cls-int": rows["gan-cls"], "char-cnn-rnn-icml": rows["char-cnn-rnn"]}
    for name, (_, *refinements) in COMPOSITIONS.items():
        rows[name] = dict(families["stages"])
        if profile != "gpu" and "spatial" in refinements:
            rows[name]["grid"] = 4  # of features of 8 px; with 8 cells along a side each would be one pixel
        if not refinements:
            rows[name]["image_size"] = 64 if profile == "gpu" else 16
    return rows


PROFILES = {profile: _rows(families, profile) if families else {} for profile, families in _FAMILIES.items()}


def _rows_on_photographs(families: dict[str, dict], rows: dict[str, dict]) -> dict[str, dict]:
    """A row for each model in ``rows``: that of its family, or that of every GAN."""
    own = {name: row for name, row in families.items() if name != "gans"}
    own |= {"char-cnn-rnn-icml": families["char-cnn-rnn"]} if families else {}
    return {name: own.get(name, families["gans"] if "evaluation_protocol" in row else {}) for name, row in rows.items()}


ON_PHOTOGRAPHS = {
    profile: _rows_on_photographs(families, PROFILES[profile]) for profile, families in _FAMILIES_ON_PHOTOGRAPHS.items()
}
