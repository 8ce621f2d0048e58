"""Char-CNN-RNN in training: the views of an image, and the length of an epoch."""

import torch

from t2i import config as configs
from t2i.errors import UserError
from t2i.training import image_features as image_features_module
from t2i.training.image_features import SMALL_LENGTH, Whitening, image_features, projection


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
    middles = image_features(recipe.data, "aviarynet1", torch.device("cpu"))
    torch.testing.assert_close(recipe.networks["image"](middles), recipe.features[:, 0])
    assert not torch.allclose(recipe.features[:, 1], recipe.features[:, 0])


def test_an_epoch_is_an_iteration_per_class_or_without_classes_a_look_at_every_image(tiny, ready, without_classes):
    known = dict(steps=0, epochs=3, batch_size=4)
    assert ready(configs.load("char-cnn-rnn", "aviary", "smoke", root=tiny().root, **known)).total_steps() == 3 * 30
    assert ready(configs.load("char-cnn-rnn", str(without_classes), "smoke", **known)).total_steps() == 3 * (9 // 4)


def test_features_that_are_more_than_the_text_s_are_whitened_into_its_space():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(600, 24, generator=generator) * torch.linspace(0.1, 2, 24) + 3
    labels = torch.arange(600) % 5
    inner = features - torch.stack([features[labels == k].mean(0) for k in range(5)])[labels]
    varies = torch.linalg.eigvalsh((inner.double().T @ inner.double()) / len(inner))
    for size in (16, 32):  # fewer dimensions than features, and more
        whitening = Whitening(24, size).fit(features, labels)
        laid = whitening(features)
        assert laid.shape == (600, size)
        torch.testing.assert_close(laid.norm(dim=1), torch.full((600,), SMALL_LENGTH))
        white = (inner @ whitening.whiten).double()
        found = torch.linalg.eigvalsh(white.T @ white / len(white))
        wanted = varies / (varies + 0.05 * varies.mean())  # 1 but for the ridge, in the directions that vary most
        torch.testing.assert_close(found, wanted[-min(24, size) :], atol=1e-4, rtol=1e-4)
        again = Whitening(24, size)
        again.load_state_dict(whitening.state_dict())
        assert torch.equal(again(features), laid)


def test_features_of_photographs_keep_their_cosines_about_the_mean():
    features = torch.randn(60, 24, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.1, 2, 24) + 3
    about = features - features.mean(dim=0)
    cosines = torch.nn.functional.cosine_similarity(about[:, None], about, dim=2)
    laid = projection("efficientnet-lite0", 24, 32).fit(features, torch.arange(60) % 5)(features)
    torch.testing.assert_close(laid @ laid.T, SMALL_LENGTH**2 * cosines, atol=1e-4, rtol=1e-4)
    fewer = projection("efficientnet-lite0", 24, 16).fit(features, torch.arange(60) % 5)
    lost = about - about @ fewer.whiten @ fewer.whiten.T
    values = torch.linalg.eigvalsh(about.T @ about)
    torch.testing.assert_close(lost.square().sum(), values[:8].sum(), atol=1e-3, rtol=1e-3)  # what varies least
    assert type(projection("aviarynet1", 24, 32)) is Whitening


def test_without_googlenet_s_weights_photographs_are_seen_by_lite0(without_classes, monkeypatch):
    def missing():
        raise UserError("googlenet.pth is missing", "Put it there.")

    monkeypatch.setattr(image_features_module, "googlenet_weights", missing)
    photographs = configs.load("char-cnn-rnn", str(without_classes), "paper")
    assert image_features_module.backbone(photographs) == {"image_features": "efficientnet-lite0"}
    drawn = configs.load("char-cnn-rnn", "aviary", "paper")
    assert image_features_module.backbone(drawn) == {"image_features": "aviarynet1"}
