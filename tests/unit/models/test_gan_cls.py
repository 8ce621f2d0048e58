import pytest
import torch

from t2i import config as configs
from t2i import models
from t2i.errors import UserError
from t2i.models import gan_cls
from t2i.models.blocks import parameter_count
from t2i.text import TextFeatures

# Counted from the layers of the authors' scripts, with the biases that they hold at zero.
COUNTS = {
    ("gan-cls", "cub"): (18_909_699, 4_032_065),
    ("gan-cls-int", "cub"): (18_909_699, 4_032_321),
    ("gan-cls-int", "flowers"): (18_909_699, 4_032_321),
    ("gan-cls", "coco"): (41_107_551, 36_190_301),
}


@pytest.mark.parametrize(("name", "dataset"), COUNTS)
def test_parameter_counts(name, dataset):
    with torch.device("meta"):
        networks = models.build(name, dataset)
    assert tuple(parameter_count(network) for network in networks) == COUNTS[name, dataset]


def test_the_script_of_gan_cls_with_256_text_dimensions():
    with torch.device("meta"):
        generator = gan_cls.Generator(1024, 256, 64, 100, 128)
        judge = gan_cls.Discriminator(1024, 256, 64, 64)
    assert (parameter_count(generator), parameter_count(judge)) == (21_138_051, 4_228_801)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_shapes_at_every_size(size):
    generator = gan_cls.Generator(16, 8, size, 6, 16)
    judge = gan_cls.Discriminator(16, 8, size, 8, interpolating=True)
    text = TextFeatures(None, torch.randn(2, 16), None)
    made = generator(torch.randn(2, 6), text)
    assert [tuple(image.shape) for image in made.images] == [(2, 3, size, size)]
    assert made.images[0].abs().max() <= 1 and made.attention == [] and made.penalty == 0
    features = judge.features(made.images[0])
    assert features.shape == (2, 64, 4, 4)
    assert judge.conditional(features, text.sentence).shape == (2,)
    torch.testing.assert_close(judge(made.images[0], text.sentence), judge.conditional(features, text.sentence))


def test_every_parameter_but_the_dead_biases_gets_a_gradient():
    generator, judges = models.from_config(configs.load("gan-cls-int", "aviary", "smoke"))
    text = TextFeatures(None, torch.randn(4, 1024), None)
    judges[0](generator(torch.randn(4, generator.noise_size), text).images[0], text.sentence).sum().backward()
    for network in (generator, judges):
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
            else:
                assert name.endswith("bias") and not parameter.any(), name


def test_int_has_a_batch_norm_more_and_an_activation_less():
    plain = gan_cls.Discriminator(1024, 128, 64, 64)
    interpolating = gan_cls.Discriminator(1024, 128, 64, 64, interpolating=True)
    assert [type(m).__name__ for m in plain.text] == ["Linear", "LeakyReLU"]
    assert [type(m).__name__ for m in interpolating.text] == ["Linear", "BatchNorm1d", "LeakyReLU"]
    assert len(plain.image) == len(interpolating.image) + 1


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"no model called 'gan'.*gan-cls, gan-cls-int"):
        models.build("gan")
