"""Char-CNN-RNN in training: the views of an image, and the length of an epoch."""

import torch

from t2i import config as configs
from t2i.training.image_features import extractor, image_features


def test_each_step_sees_one_of_the_views_of_an_image_and_the_middle_is_the_first(tiny, ready, encoder_folder):
    several, one = (
        ready(configs.load("char-cnn-rnn", "aviary", "smoke", root=tiny().root, views=views)) for views in (10, 1)
    )
    assert several.features.shape == (90, 10, 1024)
    seen = set()
    for step in range(30):
        _, vectors = several.batch(step)
        _, middles = one.batch(step)
        for vector, middle in zip(vectors, middles, strict=True):
            image = (one.features[:, 0] == middle).all(dim=1).nonzero().item()
            view = (several.features[image] == vector).all(dim=1).nonzero().flatten().tolist()
            assert len(view) == 1  # of the same image
            seen |= set(view)
    assert seen == set(range(10))


def test_what_evaluation_sees_is_the_first_view(tiny, ready):
    recipe = ready(configs.load("char-cnn-rnn", "aviary", "smoke", root=tiny().root, views=10))
    middles = image_features(recipe.data, extractor("aviarynet1"), torch.device("cpu"))
    torch.testing.assert_close(recipe.networks["image"](middles), recipe.features[:, 0])
    assert not torch.allclose(recipe.features[:, 1], recipe.features[:, 0])


def test_an_epoch_is_an_iteration_per_class_or_without_classes_a_look_at_every_image(tiny, ready, without_classes):
    known = dict(steps=0, epochs=3, batch_size=4)
    assert ready(configs.load("char-cnn-rnn", "aviary", "smoke", root=tiny().root, **known)).total_steps() == 3 * 30
    assert ready(configs.load("char-cnn-rnn", str(without_classes), "smoke", **known)).total_steps() == 3 * (9 // 4)
