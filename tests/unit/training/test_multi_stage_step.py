"""One training step of the multi-stage models against the published one, and the terms that it adds up."""

import copy

import pytest
import torch
from states import same
from torch import nn

from t2i import losses
from t2i.models.blocks import SpectralConv2d
from t2i.text import ImageFeatures
from t2i.training import objectives
from t2i.training.gan import Gan


def text_of(made: Gan, batch):
    return made.texts.read(batch.text, torch.device("cpu"))


def generator_terms(config, made: Gan, pictures, text, classes):
    """The terms under other settings than those that ``made`` has."""
    objective = objectives.AttnGan(config)
    objective.prepare(made.objective.image_encoder, made.objective.gather)
    return objective.generator(made.discriminators, pictures, text, classes)


def official_step(generator, discriminators, adams, text, batch, image_encoder, config):
    """The step as the official trainer has it, with an Adam for each discriminator; the losses as plain formulas.

    MSMT-GAN's differs in two things (its equation 19): every picture is matched with its text, and the heads' likeness
    is a loss.
    """

    def entropy(logits, label):
        return nn.functional.binary_cross_entropy(logits.sigmoid(), torch.full_like(logits, label))

    made = generator(batch.noise, text, batch.eps)
    for d, adam, real, fake in zip(discriminators, adams[1:], batch.images, made.images, strict=True):
        adam.zero_grad()
        real, fake = d.features(real), d.features(fake.detach())
        right, fitting = d.conditional(real, text.sentence), d.conditional(fake, text.sentence)
        wrong = d.conditional(real[:-1], text.sentence[1:])
        called_real = entropy(d.unconditional(real), 1.0) + entropy(right, 1.0)
        called_fake = entropy(d.unconditional(fake), 0.0) + entropy(fitting, 0.0) + entropy(wrong, 0.0)
        (called_real / 2 + called_fake / 3).backward()
        adam.step()
    adams[0].zero_grad()
    loss = losses.kullback_leibler(made.mean, made.log_variance)
    for d, fake in zip(discriminators, made.images, strict=True):
        features = d.features(fake)
        loss = loss + entropy(d.conditional(features, text.sentence), 1.0)
        loss = loss + entropy(d.unconditional(features), 1.0)
    for image in made.images if config.model == "msmt-gan" else made.images[-1:]:
        loss = loss + config.damsm_weight * sum(losses.damsm(image_encoder(image), text, batch.classes))
    (loss + 0.5 * made.penalty).backward()
    adams[0].step()


@pytest.mark.parametrize("model", ["attngan", "dm-gan", "msmt-gan"])
def test_a_step_is_the_official_one(recipe, double, model):
    """In float64, where no rounding turns into a full step of Adam, and at a rate at which it shows that the generator
    is judged by discriminators that have just been updated."""
    made = recipe(model, learning_rate=2e-3)
    names = "generator", "discriminators"
    networks = copy.deepcopy([made.networks[name].double() for name in names])
    made.objective.image_encoder.double()
    made.texts.encoder.double()
    adams = [torch.optim.Adam(n.parameters(), lr=2e-3, betas=(0.5, 0.999)) for n in (networks[0], *networks[1])]
    for number in range(2):
        batch = double(made.batch(number))
        official_step(*networks, adams, text_of(made, batch), batch, made.objective.image_encoder, made.config)
        made.train_step(batch, number)
        for name, network in zip(names, networks, strict=True):
            for (key, found), wanted in zip(made.networks[name].named_parameters(), network.parameters(), strict=True):
                assert same(found, wanted), key
                if name == "generator":  # the official discriminators also collect gradients in the generator's step
                    assert same(found.grad, wanted.grad), key


@pytest.mark.parametrize(("objective", "of_pairs"), [("code", 4), ("paper", 3)])
def test_spectral_norm_iterates_three_times_a_step_and_once_more_where_wrong_pairs_are_judged(
    recipe, objective, of_pairs, monkeypatch
):
    """AttnGAN's equation 5 knows no wrong pairs, and none are computed for it."""
    made, passes = recipe("dm-gan", objective=objective), {}
    networks = made.networks["discriminators"].named_modules()
    names = {module: name for name, module in networks if isinstance(module, SpectralConv2d)}
    original = SpectralConv2d.normalised

    def counted(self):
        passes[names[self]] = passes.get(names[self], 0) + 1
        return original(self)

    monkeypatch.setattr(SpectralConv2d, "normalised", counted)
    made.train_step(made.batch(0), 0)
    assert {name: count for name, count in passes.items() if "tower" in name and count != 3} == {}
    assert [count for name, count in passes.items() if "joint" in name] == [of_pairs] * 3


def test_the_generator_s_step_leaves_no_gradient_in_the_discriminators(recipe, monkeypatch):
    made, seen = recipe(), {}
    original = Gan.update

    def update(self, name, loss):
        if name == "generator":
            for parameter in self.discriminators.parameters():
                parameter.grad = None
        original(self, name, loss)
        seen[name] = [parameter.grad for parameter in self.networks[name].parameters()]
        seen[f"{name}'s discriminators"] = [
            p.grad for network in (self.discriminators, self.objective.image_encoder) for p in network.parameters()
        ]

    monkeypatch.setattr(Gan, "update", update)
    made.train_step(made.batch(0), 0)
    assert set(seen["generator's discriminators"]) == {None}
    assert all(g is not None and g.any() for name in ("generator", "discriminators") for g in seen[name])
    assert all(p.requires_grad for p in made.discriminators.parameters())


def test_words_may_be_sought_at_every_size(recipe):
    made = recipe()
    batch = made.batch(0)
    text = text_of(made, batch)
    pictures = made.generator(batch.noise, text, batch.eps)

    def terms(**settings):
        config = made.config.__class__(**made.config.to_dict() | settings)
        return generator_terms(config, made, pictures, text, batch.classes)

    last, every = terms(), terms(damsm_scales="all")
    each = [losses.damsm(ImageFeatures(*made.objective.image_encoder(i)), text, batch.classes) for i in pictures.images]
    for name, parts in (("words", slice(0, 2)), ("sentence", slice(2, 4))):
        torch.testing.assert_close(last[name], 5 * sum(each[-1][parts]))
        torch.testing.assert_close(every[name], 5 * sum(sum(one[parts]) for one in each))
    assert last.keys() == every.keys() == {"adversarial", "words", "sentence", "kl"}
    torch.testing.assert_close(terms(objective="paper")["adversarial"], last["adversarial"] / 2)
    torch.testing.assert_close(terms(kl_weight=2.0)["kl"], 2 * losses.kullback_leibler(*pictures[2:4]))
    sharper = losses.Gammas(1.0, 2.0, 3.0)
    wanted = losses.damsm(
        ImageFeatures(*made.objective.image_encoder(pictures.images[-1])), text, batch.classes, sharper
    )
    found = terms(gamma_attention=1.0, gamma_words=2.0, gamma_matching=3.0, damsm_weight=1.0)
    torch.testing.assert_close(found["words"] + found["sentence"], sum(wanted))


def test_msmt_gan_s_heads_have_a_term_of_their_own(recipe):
    made = recipe("msmt-gan")
    batch = made.batch(0)
    text = text_of(made, batch)
    pictures = made.generator(batch.noise, text, batch.eps)

    def terms(**settings):
        config = made.config.__class__(**made.config.to_dict() | settings)
        return generator_terms(config, made, pictures, text, batch.classes)

    published, none = terms(), terms(redundancy_weight=0.0)
    assert published.keys() == {"adversarial", "words", "sentence", "kl", "redundancy"} and none["redundancy"] == 0
    torch.testing.assert_close(published["redundancy"], 0.5 * pictures.penalty)
    made.train_step(batch, 0)
    gradients = [p.grad for stage in made.networks["generator"].refinements for p in stage.memories.parameters()]
    assert len(gradients) == 2 * 6 * 16 and all(g is not None for g in gradients)
    assert "redundancy" not in recipe("dm-gan").train_step(batch, 0)
