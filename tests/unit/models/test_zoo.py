"""The compositions of the zoo: what each makes, what may not change it, and how many parameters it has."""

import pytest
import torch
from torch import nn

from t2i import config as configs
from t2i import models
from t2i.errors import UserError
from t2i.models.blocks import Residual, parameter_count
from t2i.models.refinement import AttentionRefinement, Reading, Refinement
from t2i.models.zoo import INITIAL, REFINEMENTS
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH as TEXT_SIZE
from t2i.text.damsm import TextEncoder
from t2i.training.objectives import AttnGan

LENGTHS = [5, 2]  # a caption with several word tri-grams, and one that is too short for any
ON_SLOTS = ("key", "value", "cell")  # MSMT-GAN's and AttnGAN's convolutions of words and cells, which are no pictures
MASK = torch.arange(5) >= torch.tensor(LENGTHS)[:, None]

# Counted in the official code; of a hybrid, from DM-GAN with one stage exchanged, which has 41,793 fewer. Of MSMT-GAN,
# from the published size of generator and text encoder, 48.11 and 55.16 million.
COUNTS = {
    ("attngan", "cub"): (7_084_592, (6_313_730, 19_424_002, 71_858_946)),
    ("attngan", "coco"): (13_811_456, (13_304_450, 42_800_258, 160_774_274)),
    ("dm-gan", "cub"): (21_449_042, (1_878_242, 5_155_810, 18_264_546)),
    ("dm-gan", "coco"): (22_335_314, (1_878_242, 5_155_810, 18_264_546)),
    ("attndm-gan", "cub"): (21_449_042 - 41_793, (1_878_242, 5_155_810, 18_264_546)),
    ("dmattn-gan", "cub"): (21_449_042 - 41_793, (1_878_242, 5_155_810, 18_264_546)),
    ("msmt-gan", "cub"): (46_032_815, (1_878_242, 5_155_810, 18_264_546)),
    ("msmt-gan", "coco"): (46_531_631, (1_878_242, 5_155_810, 18_264_546)),
}


def tiny(name: str, **settings) -> tuple[nn.Module, nn.ModuleList]:
    torch.manual_seed(0)
    return models.from_config(configs.load(name, "aviary", "smoke", **settings))


def inputs(generator):
    torch.manual_seed(2)
    given = TextFeatures(torch.randn(2, TEXT_SIZE, 5), torch.randn(2, TEXT_SIZE), MASK)
    return torch.randn(2, generator.noise_size), given, torch.randn(2, generator.condition_size)


@pytest.mark.parametrize("name", [name for name, (_, *refinements) in configs.COMPOSITIONS.items() if refinements])
def test_refinements_and_their_gradients_stay_in_the_layout_of_training(name):
    """Channels-last throughout: one part in the other layout passes it on to all that follow, and they are slower."""
    generator, _ = tiny(name)
    generator.to(memory_format=torch.channels_last)
    other = []

    def look(tensor, where):
        if tensor.ndim == 4 and not tensor.is_contiguous(memory_format=torch.channels_last):
            other.append(where)

    for where, layer in generator.refinements.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | Residual) or any(p in where for p in ON_SLOTS):
            continue
        layer.register_forward_hook(lambda layer, given, made, where=where: look(given[0], where) or look(made, where))
        layer.register_full_backward_hook(lambda layer, _, slopes, where=where: look(slopes[0], where))
    made = generator(*inputs(generator))
    sum((image * image.detach().roll(1, 3)).sum() for image in made.images).backward()
    assert not other


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_what_a_generator_makes(name):
    generator, judges = tiny(name)
    noise, given, eps = inputs(generator)
    made = generator(noise, given, eps)
    initial, *refinements = configs.COMPOSITIONS[name]
    sizes = [8, 16, 32] if refinements else [16]
    assert [tuple(image.shape) for image in made.images] == [(2, 3, size, size) for size in sizes]
    assert [tuple(maps.shape) for maps in made.attention] == [(2, 5, size, size) for size in sizes[:-1]]
    for maps in made.attention:
        torch.testing.assert_close(maps.sum(dim=1), torch.ones_like(maps[:, 0]))
    assert all(0 < image.abs().max() <= 1 for image in made.images)
    assert made.mean.shape == made.log_variance.shape == (2, 100) and len(judges) == len(sizes)
    assert made.penalty == sum((made.terms or {}).values())
    assert type(generator.initial) is INITIAL[initial]
    assert [type(stage) for stage in generator.refinements] == [REFINEMENTS[kind] for kind in refinements]


def test_the_penalty_is_the_sum_over_the_stages():
    generator = tiny("msmt-gan")[0].eval()
    noise, given, eps = inputs(generator)
    seen = []
    for stage in generator.refinements:
        stage.register_forward_hook(lambda _, passed, made: seen.append(made[2]))
    made = generator(noise, given, eps)
    assert torch.equal(made.penalty, seen[0] + seen[1]) and len(seen) == 2 and made.penalty != 0
    assert made.terms == {"redundancy": made.penalty}
    for name, terms in (("mtwig-sdm-gan", {"redundancy": 0}), ("dm-gan", None)):  # one head is like no other
        assert tiny(name)[0](noise, given, eps).terms == terms


class Sharpened(AttentionRefinement):
    """A stage with a number and a loss of its own."""

    penalty_name = "sharpness"

    @classmethod
    def from_config(cls, config):
        stage = super().from_config(config)
        stage.power = config.option("power")
        return stage

    def read(self, features, text):
        both, attention, _ = super().read(features, text)
        return Reading(both, attention, 1 - attention.pow(self.power).sum(dim=1).mean())


def test_a_stage_has_numbers_and_a_loss_of_its_own(monkeypatch):
    monkeypatch.setitem(REFINEMENTS, "sharpened", Sharpened)
    settings = dict(refinements=("sharpened", "spatial"), heads=2, grid=4)
    generator, _ = tiny("msmt-gan", **settings, stage_options={"power": 3.0, "sharpness_weight": 0.1})
    made = generator(*inputs(generator))
    assert generator.refinements[0].power == 3 and set(made.terms) == {"sharpness", "redundancy"}
    torch.testing.assert_close(made.penalty, made.terms["sharpness"] + made.terms["redundancy"])
    with pytest.raises(UserError, match=r"msmt-gan has no number called 'power'\. Give its row in config"):
        tiny("msmt-gan", **settings)


def test_the_base_of_all_refinements_is_built_from_a_config():
    stage = Refinement.from_config(configs.load("dm-gan", "aviary", "smoke"))
    assert stage.mask == "correct" and parameter_count(stage.up) > 0


def test_the_rows_of_msmt_gan_differ_in_heads_and_kernels():
    for name, heads in (("mtwig-sdm-gan", 1), ("msmt-gan", 6)):
        generator = tiny(name)[0]
        assert [len(stage.memories) for stage in generator.refinements] == [heads, heads]
        assert generator.initial.kernel == 3 and all(stage.grid == 4 for stage in generator.refinements)
    assert [tiny(f"mtwig-ks{k}")[0].initial.ngram.weight.shape[2] for k in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["attngan", "dm-gan", "msmt-gan"])
def test_the_draw_is_made_inside_or_given(name):
    generator = tiny(name)[0].eval()
    noise, given, eps = inputs(generator)
    with torch.no_grad():
        first, again = generator(noise, given, eps), generator(noise, given, eps)
        drawn, other = generator(noise, given), generator(noise, given)
    assert torch.equal(first.images[2], again.images[2])
    assert not torch.equal(drawn.images[2], other.images[2])  # in eval mode too
    assert torch.equal(drawn.mean, first.mean)


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
@pytest.mark.parametrize("training", [True, False])
def test_padding_never_changes_a_picture(name, training):
    generator = tiny(name)[0].train(training)
    noise, given, eps = inputs(generator)
    wanted = generator(noise, given, eps)
    garbage = given._replace(words=given.words.masked_fill(MASK[:, None], 1e3))
    longer = TextFeatures(
        nn.functional.pad(given.words, (0, 4)), given.sentence, nn.functional.pad(MASK, (0, 4), value=True)
    )
    for changed in (garbage, longer):
        found = generator(noise, changed, eps)
        for image, other in zip(found.images, wanted.images, strict=True):
            torch.testing.assert_close(image, other, rtol=0, atol=1e-5)
    for maps in found.attention:
        assert not maps[:, 5:].any() and not maps[1, 2:].any()


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_without_batch_statistics_a_picture_needs_no_company(name):
    generator = tiny(name)[0].eval()
    noise, given, eps = inputs(generator)
    wanted = generator(noise, given, eps)
    for b, length in enumerate(LENGTHS):
        alone = TextFeatures(given.words[b : b + 1, :, :length], given.sentence[b : b + 1], None)
        found = generator(noise[b : b + 1], alone, eps[b : b + 1])
        torch.testing.assert_close(found.images[-1][0], wanted.images[-1][b], rtol=0, atol=1e-5)


def without_gradient(network):
    """Of which parameters; in float64, so that rounding is not taken for one."""
    return {key for key, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}


@pytest.mark.parametrize("name", configs.COMPOSITIONS)
def test_every_parameter_gets_a_gradient(name):
    generator, judges = (network.double() for network in tiny(name))
    noise, given, eps = inputs(generator)
    given = given._replace(words=given.words.double(), sentence=given.sentence.double())
    made = generator(noise.double(), given, eps.double())
    (sum((image * torch.randn_like(image)).sum() for image in made.images) + made.penalty).backward()
    reals, objective = [torch.rand_like(image) for image in made.images], AttnGan(configs.PAPER[name, "cub"])
    for judge, real, image in zip(judges, reals, made.images, strict=True):
        objective.discriminator(judge, real.float().double(), image.detach(), given.sentence, None).backward()
    # What is added to the keys of all words alike is nothing to the softmax over them.
    keys = {f"refinements.{k}.memories" for k, kind in enumerate(configs.COMPOSITIONS[name][1:]) if kind == "spatial"}
    missed = without_gradient(generator)
    assert {key.rsplit(".", 3)[0] for key in missed} == keys
    assert all(key.endswith(".key.bias") for key in missed) and without_gradient(judges) == set()


@pytest.mark.parametrize(("name", "dataset"), COUNTS)
def test_parameter_counts(name, dataset):
    with torch.device("meta"):
        networks = models.build(name, dataset)
    each = tuple(parameter_count(judge) for judge in networks.discriminators)
    assert (parameter_count(networks.generator), each) == COUNTS[name, dataset]


@pytest.mark.parametrize(("dataset", "words", "together"), [("cub", 5450, 48_108_135), ("coco", 27297, 55_161_051)])
def test_msmt_gan_with_its_text_encoder_is_as_large_as_published(dataset, words, together):
    """Table 2: 48.11 and 55.16 million."""
    with torch.device("meta"):
        encoder = parameter_count(TextEncoder(words))
    assert encoder + COUNTS["msmt-gan", dataset][0] == together


def by_hand(stages, blocks, kernel=3, heads=1):
    """How many parameters a generator has whose features have 48 channels at 64 px, counted on paper."""
    initial, *refinements = stages
    convolution, gate, wide = 9 * 48 * 48, 2 * 48 + 1, 2 * 768 * 16
    head = (
        (256 + 48)  # the two gates
        + (256 * 96 + 96)  # of words
        + (2 * convolution + 96)  # of cells, 48 to 96
        + (6 * convolution + 144)  # the key, 96 to 144
        + (2 * convolution + 48)  # the value, 96 to 48
        + 3 * (convolution + 48)  # the query
    )
    memory = (256 + 48) + (48 * 96 + 96) + (256 * 96 + 96) + 2 * (96 * 48 + 48) + gate
    residual = (8 * convolution + 384) + (4 * convolution + 192)
    reads = {"memory": memory, "spatial": heads * (head + gate) + (gate if heads > 1 else 0)}
    inputs = {"sentence": 200, "tails": kernel * (200 + 256)}[initial]
    doublings = sum(9 * c * c + 2 * c for c in (768, 384, 192, 96))
    first = inputs * wide + 2 * wide + doublings + (gate if initial == "tails" else 0)
    later = sum(reads[kind] + blocks * residual + 4 * convolution + 192 for kind in refinements)
    return 257 * 400 + first + later + len(stages) * 27 * 48


LADDER = {
    "ig-dm-gan": dict(stages=("sentence", "memory", "memory")),
    "mtwig-dm-gan": dict(stages=("tails", "memory", "memory")),
    "mtwig-sdm-gan": dict(stages=("tails", "spatial", "spatial")),
    "msmt-gan": dict(stages=("tails", "spatial", "spatial"), heads=6),
    "ig": dict(stages=("sentence",)),
    "mtwig-ks1": dict(stages=("tails",), kernel=1),
    "mtwig-ks2": dict(stages=("tails",), kernel=2),
    "mtwig-ks3": dict(stages=("tails",), kernel=3),
}


@pytest.mark.parametrize("name", LADDER)
@pytest.mark.parametrize(("dataset", "blocks"), [("cub", 3), ("coco", 4)])
def test_the_sizes_of_msmt_gan_s_ablations(name, dataset, blocks):
    """The single stages end at 64 px, with the features and the judge that a first stage of three has."""
    with torch.device("meta"):
        networks = models.build(name, dataset)
    assert parameter_count(networks.generator) == by_hand(**LADDER[name], blocks=blocks)
    judges = COUNTS["msmt-gan", dataset][1][: len(LADDER[name]["stages"])]
    assert tuple(parameter_count(judge) for judge in networks.discriminators) == judges


@pytest.mark.parametrize("name", ["dm-gan", "msmt-gan"])
def test_fresh_networks_are_initialised_as_published(name):
    networks = nn.ModuleList(tiny(name))
    for module in networks.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            rows = module.weight.detach().flatten(1)
            small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
            torch.testing.assert_close(small, torch.eye(len(small)), rtol=0, atol=1e-4)
        if isinstance(module, nn.Linear) and module.bias is not None:
            assert not module.bias.any()
    gains = torch.cat([m.weight for m in networks.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)])
    assert gains.mean().item() == pytest.approx(1, abs=0.005) and gains.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_stage_that_there_is_not_is_named():
    with pytest.raises(UserError, match=r"refinement called 'memroy'.*Choose among: attention, memory, spatial"):
        tiny("dm-gan", refinements=("memory", "memroy"))
