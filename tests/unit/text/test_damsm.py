"""DAMSM's encoders: what must not change their output, and the trunks under the image encoder."""

import copy

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import inception_v3

from t2i import plots
from t2i.data.captions import Vocabulary
from t2i.errors import UserError
from t2i.text import trunks
from t2i.text.damsm import ImageEncoder, TextEncoder, initialise

CAPTIONS, LENGTHS = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 0, 0]]), torch.tensor([3, 1, 2])


@pytest.fixture(params=["LSTM", "GRU"])
def text(request):
    torch.manual_seed(0)
    return TextEncoder(7, request.param).eval()


def test_shapes_and_mask(text):
    found = text(CAPTIONS, LENGTHS)
    assert found.words.shape == (3, 256, 3) and found.sentence.shape == (3, 256)  # cut to the longest length
    assert found.mask.tolist() == [[False, False, False], [False, True, True], [False, False, True]]
    padding = found.mask[:, None].expand_as(found.words)
    assert not found.words[padding].any() and found.words[~padding].all()


def test_a_sentence_is_the_last_state_of_each_direction(text):
    found = text(CAPTIONS, LENGTHS)
    for row, length in enumerate(LENGTHS):
        forwards, backwards = found.words[row, :128, length - 1], found.words[row, 128:, 0]
        torch.testing.assert_close(found.sentence[row], torch.cat([forwards, backwards]))


def test_neither_order_nor_padding_nor_company_matters(text):
    wanted = text(CAPTIONS, LENGTHS)
    order = torch.tensor([1, 2, 0])
    torch.testing.assert_close(text(CAPTIONS[order], LENGTHS[order]), wanted.select(order), rtol=0, atol=1e-6)
    torch.testing.assert_close(text(F.pad(CAPTIONS, (0, 5), value=6), LENGTHS), wanted, rtol=0, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        alone = text(CAPTIONS[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone.words[0], wanted.words[row, :, :length], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.sentence[0], wanted.sentence[row], rtol=0, atol=1e-6)


def test_dropout_acts_while_training_only(text):
    assert torch.equal(text(CAPTIONS, LENGTHS).sentence, text(CAPTIONS, LENGTHS).sentence)
    text.train()
    assert not torch.equal(text(CAPTIONS, LENGTHS).sentence, text(CAPTIONS, LENGTHS).sentence)


def test_texts_are_read_with_the_vocabulary(text):
    text.vocabulary = Vocabulary(["a", "red", "bird", "small", "blue", "one"])
    wanted = text(CAPTIONS, LENGTHS)
    found = text.features(["A red BIRD!", "zyxgrub small", "blue, one"])
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(text.encode(["small", "blue one"]), wanted.sentence[1:])
    long = text.features(["a red bird " * 30])
    assert long.words.shape == (1, 256, 90)  # in full length, however few words training takes


def test_what_cannot_be_read_is_said(text):
    with pytest.raises(UserError, match=r"has no vocabulary\. Import it with the captions\.pickle"):
        text.features(["a bird"])
    text.vocabulary = Vocabulary(["red", "bird"])
    with pytest.raises(UserError, match=r"caption 'zyxgrub' holds no word.*such as: red, bird"):
        text.features(["a bird", "zyxgrub"])


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="rnn 'RNN' is none of"):
        TextEncoder(7, "RNN")
    with pytest.raises(ValueError, match="size 64 is not 34, 68 or 136"):
        trunks.SmallTrunk(4, 64)


@pytest.mark.parametrize(("size", "channels"), [(34, 8), (68, 16), (136, 16)])
def test_small_trunks_give_seventeen_regions_a_side(size, channels):
    image = ImageEncoder(trunks.build("small", 4, size)).eval()
    assert image.trunk.channels == (channels, 4 * channels)
    for side in (16, size, 150):
        regions, code = image(torch.rand(2, 3, side, side))
        assert regions.shape == (2, 256, 17, 17) and code.shape == (2, 256)


def test_images_may_be_of_any_shape_and_align_corners_matters():
    torch.manual_seed(0)
    image, pictures = ImageEncoder(trunks.build("small", 4)).eval(), torch.rand(1, 3, 48, 40)
    aligned = image(pictures)
    image.align_corners = False
    assert (image(pictures).regions - aligned.regions).norm() > 0.01 * aligned.regions.norm()
    resized = trunks.resize(pictures, 34)
    assert torch.equal(resized[..., 0, 0], pictures[..., 0, 0]) and torch.equal(resized, trunks.resize(resized, 34))
    assert not torch.allclose(trunks.resize(pictures, 34, align_corners=False)[..., 0, 0], pictures[..., 0, 0])
    torch.testing.assert_close(image(resized), aligned)  # the right size already: nothing to align


def test_initialise_fills_the_published_interval():
    text, image = TextEncoder(50), ImageEncoder(trunks.build("small", 4))
    before = text.rnn.weight_hh_l0.clone()
    initialise(text, image)
    for weight in (text.embedding.weight, image.to_regions.weight, image.to_code.weight):
        assert 0.095 < weight.abs().max() <= 0.1 and weight.mean().abs() < 0.01
    assert torch.equal(text.rnn.weight_hh_l0, before)


@pytest.fixture(scope="module")
def imagenet(imagenet_file):
    """Our trunk and torchvision's whole network with the same weights."""
    weights = torch.load(imagenet_file, weights_only=True)
    whole = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
    whole.load_state_dict(weights)
    trunk = trunks.InceptionTrunk()
    trunks.load_imagenet(trunk, weights)
    return trunk, whole.eval()


@torch.no_grad()
def test_the_inception_trunk_is_torchvision_s_network(imagenet):
    trunk, whole = imagenet
    assert trunk.size == 299 and trunk.channels == (768, 2048)
    seen = {}
    for name in ("Mixed_6e", "avgpool"):
        whole.get_submodule(name).register_forward_hook(lambda *call, name=name: seen.update({name: call[2]}))
    picture = torch.rand(1, 3, 299, 299) * 2 - 1
    whole(picture)
    regions, code = trunk.eval()(picture)
    assert regions.shape == (1, 768, 17, 17) and code.std() > 1e-4
    torch.testing.assert_close(regions, seen["Mixed_6e"])
    torch.testing.assert_close(code, seen["avgpool"].flatten(1))


def test_weights_of_before_the_batch_counter_are_read(imagenet_file):
    weights = torch.load(imagenet_file, weights_only=True)
    older = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    trunk = trunks.InceptionTrunk()
    trunks.load_imagenet(trunk, older)
    assert torch.equal(trunk.Mixed_7c.branch_pool.bn.running_var, weights["Mixed_7c.branch_pool.bn.running_var"])


@torch.no_grad()
def test_training_moves_the_statistics_of_a_frozen_trunk(imagenet):
    trunk = copy.deepcopy(imagenet[0])
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    trunk.train()(torch.rand(2, 3, 299, 299))
    moved = {name for name, value in trunk.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name, _ in trunk.named_buffers()}


@pytest.mark.parametrize("words", [["red"], ["a", "bird", "with", "red", "wings", "and", "a", "bill"]])
def test_word_maps_show_the_picture_and_then_every_word(words):
    picture = torch.full((3, 51, 51), 200, dtype=torch.uint8)
    maps = torch.zeros(len(words), 17, 17)
    maps[:, 8, 8] = 1e-3  # each map has a scale of its own
    figure = plots.word_maps(picture, words, maps)
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in drawn] == ["", *words]
    whole, *seen = [axis.images[0].get_array() for axis in drawn]
    assert whole.min() == whole.max() and all(one.max() > 5 * one.min() > 0 for one in seen)


def test_the_trunk_of_lite0_gives_seventeen_regions_a_side_and_is_frozen():
    image = ImageEncoder(trunks.build("efficientnet-lite0"))
    assert (image.trunk.size, image.trunk.channels) == (272, (672, 1280))
    found = image(torch.rand(1, 3, 32, 32))
    assert found.regions.shape == (1, 256, 17, 17) and found.code.shape == (1, 256)
    assert {name.split(".")[0] for name, part in image.named_parameters() if part.requires_grad} == {
        "to_regions",
        "to_code",
    }
