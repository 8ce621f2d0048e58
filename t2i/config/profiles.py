"""The profiles: what each replaces of a paper's numbers, so that the same code runs at every size."""

from t2i.config.papers import COMPOSITIONS, STAGE_ONE

# What a profile may change: sizes, widths, batch, length, sample counts, backbone; the learning rate, because the step
# that Adam may take with a weight grows as layers narrow; and the weight of the divergence, which kills StackGAN's
# rectified μ in a short run before a picture needs it. A test holds the profiles to this list.
# fmt: off
SCALE_KNOBS = frozenset({
    "image_size", "images_per_class", "batch_size", "steps", "learning_rate", "ema_decay", "precision", "compile",
    "log_every", "sample_every", "checkpoint_every", "evaluation_protocol", "channels", "image_features",
    "generator_width", "discriminator_width", "captions_averaged", "trunk", "trunk_width", "trunk_size", "trials",
    "grid", "kl_weight",
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
        "attngan": dict(
            _LITTLE,
            image_size=32,
            batch_size=8,
            steps=20,
            generator_width=8,
            discriminator_width=4,
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
        "attngan": dict(
            image_size=32,
            batch_size=16,
            steps=800,
            learning_rate=6e-4,
            generator_width=32,
            discriminator_width=16,
            ema_decay=0.995,
            log_every=25,
            sample_every=200,
            evaluation_protocol="fid2k-aviarynet1",
        ),
    },
    "gpu": {
        "char-cnn-rnn": dict(image_size=64, batch_size=30, steps=6000, image_features="aviarynet1"),
        "damsm": dict(image_size=256, steps=6000, trunk_width=64, trunk_size=68, sample_every=500),
        "gan-cls": dict(
            batch_size=64, steps=20000, ema_decay=0.999, sample_every=2000, evaluation_protocol="fid2k-aviarynet1"
        ),
        "attngan": dict(batch_size=16, steps=12000, sample_every=2000, evaluation_protocol="fid2k-aviarynet1"),
    },
    "paper": {},
}
for _profile, _rows in PROFILES.items():
    if "gan-cls" in _rows:
        _rows["gan-cls-int"] = _rows["gan-cls"]
        for _name, (_, *_refinements) in COMPOSITIONS.items():
            _rows[_name] = dict(_rows["attngan"])
            if _profile != "gpu" and "spatial" in _refinements:
                _rows[_name]["grid"] = 4  # of features of 8 px; with 8 cells along a side each would be one pixel
            if not _refinements:
                _rows[_name]["image_size"] = 64 if _profile == "gpu" else 16

# StackGAN: Stage-I in "stage1", Stage-II, and StackGAN++.
_STACKS: dict[str, dict[str, dict]] = {
    "smoke": {
        "stage1": dict(
            _LITTLE,
            image_size=16,
            batch_size=16,
            steps=30,
            generator_width=8,
            discriminator_width=8,
            ema_decay=0.9,
            evaluation_protocol="fid200-aviarynet1",
        ),
        "stackgan-stage2": dict(
            _LITTLE,
            image_size=64,
            batch_size=8,
            steps=20,
            generator_width=8,
            discriminator_width=4,
            ema_decay=0.9,
            evaluation_protocol="fid200-aviarynet1",
        ),
        "stackgan2": dict(
            _LITTLE,
            image_size=32,
            batch_size=8,
            steps=20,
            generator_width=16,
            discriminator_width=4,
            ema_decay=0.9,
            evaluation_protocol="fid200-aviarynet1",
        ),
    },
    "cpu": {
        "stage1": dict(
            image_size=16,
            batch_size=16,
            steps=2800,
            learning_rate=3e-4,
            kl_weight=0.05,
            generator_width=24,
            discriminator_width=8,
            ema_decay=0.998,
            log_every=100,
            sample_every=700,
            evaluation_protocol="fid2k-aviarynet1",
        ),
        "stackgan-stage2": dict(
            image_size=64,
            batch_size=16,
            steps=800,
            learning_rate=3e-4,
            kl_weight=0.05,
            generator_width=16,
            discriminator_width=8,
            ema_decay=0.995,
            log_every=25,
            sample_every=200,
            evaluation_protocol="fid2k-aviarynet1",
        ),
        "stackgan2": dict(
            image_size=32,
            batch_size=16,
            steps=800,
            learning_rate=3e-4,
            generator_width=32,
            discriminator_width=16,
            ema_decay=0.995,
            log_every=25,
            sample_every=200,
            evaluation_protocol="fid2k-aviarynet1",
        ),
    },
    "gpu": {
        "stage1": dict(steps=20000, ema_decay=0.999, evaluation_protocol="fid2k-aviarynet1"),
        "stackgan-stage2": dict(steps=6000, ema_decay=0.999, evaluation_protocol="fid2k-aviarynet1"),
        "stackgan2": dict(steps=6000, evaluation_protocol="fid2k-aviarynet1"),
    },
}
for _profile, _given in _STACKS.items():
    PROFILES[_profile] |= dict.fromkeys(STAGE_ONE, _given.pop("stage1")) | _given
