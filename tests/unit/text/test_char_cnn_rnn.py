import pytest
import torch

from t2i.text.char_cnn_rnn import CharCnnRnn, MeanGRU, MeanRNN, initialise, initialise_convolutions


@pytest.mark.parametrize(("variant", "steps"), [("cvpr", 8), ("icml-rnn", 8), ("icml-gru", 18)])
def test_the_recurrent_layer_sees_as_many_steps_as_published(variant, steps):
    encoder, seen = CharCnnRnn(variant, (8, 8, 8), 16), []
    encoder.rnn.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    assert encoder.encode(["a bird", "a red bird"]).shape == (2, 16)
    assert seen == [(2, steps, 8)]


def test_mean_rnn_is_its_equation():
    torch.manual_seed(0)
    layer, x = MeanRNN(4).double(), torch.randn(1, 3, 4, dtype=torch.double)
    w, b, u, c = (*layer.i2h.parameters(), *layer.h2h.parameters())
    h1 = (w @ x[0, 0] + b).relu()
    h2 = (w @ x[0, 1] + b + u @ h1 + c).relu()
    h3 = (w @ x[0, 2] + b + u @ h2 + c).relu()
    torch.testing.assert_close(layer(x)[0], (h1 + h2 + h3) / 3)


def test_mean_gru_lets_the_candidate_in_by_the_update_gate():
    torch.manual_seed(0)
    layer, x = MeanGRU(4).double(), torch.randn(1, 2, 4, dtype=torch.double)
    h1 = layer.i2h(x[:, 0]).tanh()
    z = torch.sigmoid(layer.i2h_update(x[:, 1]) + layer.h2h_update(h1))
    r = torch.sigmoid(layer.i2h_reset(x[:, 1]) + layer.h2h_reset(h1))
    h2 = z * torch.tanh(layer.i2h(x[:, 1]) + layer.h2h(r * h1)) + (1 - z) * h1
    torch.testing.assert_close(layer(x), (h1 + h2) / 2)


def test_characters_beyond_201_are_not_read():
    encoder, text = CharCnnRnn("cvpr", (8, 8, 8), 16), "a bird " * 40
    assert torch.equal(encoder.encode([text]), encoder.encode([text[:201] + "zzz"]))


def test_features_hold_a_sentence_and_no_words():
    features = CharCnnRnn("cvpr", (8, 8, 8), 16).features(["a bird"])
    assert features.words is None and features.mask is None and features.sentence.shape == (1, 16)


def test_initialise_fills_reeds_interval():
    encoder = CharCnnRnn()
    initialise(encoder)
    largest = max(p.abs().max().item() for p in encoder.parameters())
    assert 0.0799 < largest <= 0.08


@pytest.mark.parametrize(("channels", "std"), [((384, 512, 512), 0.02), ((96, 128, 96), 0.04)])
def test_coco_s_convolutions_start_narrow_and_without_bias(channels, std):
    encoder = CharCnnRnn("icml-gru", channels)
    rest = encoder.rnn.i2h.weight.clone()
    initialise_convolutions(encoder)
    for convolution in (encoder.conv1, encoder.conv2, encoder.conv3):
        assert convolution.weight.std().item() == pytest.approx(std, rel=0.02) and not convolution.bias.any()
    assert torch.equal(encoder.rnn.i2h.weight, rest)
