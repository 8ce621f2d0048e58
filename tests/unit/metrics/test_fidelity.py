from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from torch import nn
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torchvision.models import inception_v3

from t2i import aviarynet, weights
from t2i.errors import UserError
from t2i.metrics import extractors, fidelity, finetuned, protocols

COLOURS = torch.tensor([[r, g, b] for r in (0, 128, 255) for g in (0, 128, 255) for b in (128,)], dtype=torch.uint8)
PROTOCOL = replace(protocols.get("fid200-aviarynet1"), name="fid90-aviarynet1", images=90)


class SmallNet(nn.Module):
    """Stands in for AviaryNet: a random projection of small pictures, and the colour of the middle as body."""

    def __init__(self, certainty):
        super().__init__()
        self.certainty = certainty
        self.projection = nn.Linear(3 * 8 * 8, 128, bias=False)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            nn.init.normal_(self.projection.weight)

    def embed(self, images):
        small = nn.functional.adaptive_avg_pool2d(images, 8)
        middle = small[:, :, 4, 4]
        distance = torch.cdist(middle, COLOURS.float() / 127.5 - 1)
        return torch.tanh(self.projection(small.flatten(1)) / 8), {"body": -self.certainty * distance}


@pytest.fixture
def small_net(monkeypatch):
    net = SmallNet(certainty=100.0)
    monkeypatch.setattr(aviarynet, "load", lambda: net)
    return net


def pictures(n=90, seed=0, noise=20, side=16):
    """Plain pictures of the nine colours in turn, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    plain = COLOURS[torch.arange(n) % 9].view(n, 3, 1, 1).float()
    return (plain + noise * torch.randn(n, 3, side, side, generator=generator)).clamp(0, 255).byte()


def frechet(a, b):
    """The Fréchet distance of two sets of features as in Heusel et al. (2017), by SciPy's matrix square root."""
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_a_set_has_no_distance_from_itself(small_net):
    found = fidelity.score(pictures(), pictures(), PROTOCOL)
    assert found["fid"] == pytest.approx(0, abs=1e-3)
    assert found["generated_count"] == found["real_count"] == 90


def test_the_distance_grows_with_noise(small_net):
    scores = [fidelity.score(pictures(seed=1, noise=noise), pictures(), PROTOCOL) for noise in (20, 60, 120)]
    assert scores[0]["fid"] < scores[1]["fid"] < scores[2]["fid"]
    assert scores[0]["kid_mean"] < scores[1]["kid_mean"] < scores[2]["kid_mean"]


def test_fid_equals_the_formula_on_the_same_features(small_net):
    generated, real = pictures(200, seed=1, noise=60), pictures(150)
    features = [small_net.embed(x.float() / 127.5 - 1)[0].detach().double().numpy() for x in (generated, real)]
    found = fidelity.score(generated, real, "fid200-aviarynet1")
    assert found["fid"] == pytest.approx(frechet(*features), rel=1e-3)
    assert found["real_count"] == 150


def test_inception_score_lies_between_one_and_the_number_of_colours(small_net):
    one_split = replace(PROTOCOL, isc_splits=1)
    assert fidelity.score(pictures(noise=0), pictures(), one_split)["is_mean"] == pytest.approx(9, abs=1e-3)
    small_net.certainty = 0.0
    undecided = fidelity.score(pictures(), pictures(), PROTOCOL)
    assert undecided["is_mean"] == pytest.approx(1)
    assert undecided["is_std"] == pytest.approx(0, abs=1e-6)


def test_kid_subsets_are_no_larger_than_the_smaller_set(small_net):
    assert fidelity.score(pictures(), pictures(40), PROTOCOL)["kid_subset_size"] == 40
    assert fidelity.score(pictures(), pictures(120), replace(PROTOCOL, kid_subset_size=30))["kid_subset_size"] == 30


def test_a_dataset_and_its_tensor_score_alike_and_twice_the_same(small_net):
    class Lazy(torch.utils.data.Dataset):
        def __len__(self):
            return 90

        def __getitem__(self, index):
            return generated[index]

    generated, real = pictures(seed=1), pictures()
    assert fidelity.score(Lazy(), real, PROTOCOL) == fidelity.score(generated, real, PROTOCOL)


def test_the_figures_are_those_of_torch_fidelity_on_the_whole_sets(small_net, monkeypatch):
    """Its own call reads all features at once, takes their mean in float32, and all of IS's logits to float64."""
    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "aviarynet1", extractors.AviaryNetExtractor)
    generated, real = pictures(seed=1, noise=60), pictures(131)
    whole = torch_fidelity.calculate_metrics(
        input1=torch.utils.data.Subset(generated, range(90)),
        input2=torch.utils.data.Subset(real, range(131)),
        **dict(fid=True, isc=True, kid=True, prc=True, cuda=False, verbose=False, save_cpu_ram=True),
        feature_extractor="aviarynet1",
        isc_splits=PROTOCOL.isc_splits,
        kid_subset_size=60,
    )
    found = fidelity.score(generated, real, replace(PROTOCOL, kid_subset_size=60))
    names = {"fid": "frechet_inception_distance", "precision": "precision", "recall": "recall"}
    names |= {f"is_{part}": f"inception_score_{part}" for part in ("mean", "std")}
    names |= {f"kid_{part}": f"kernel_inception_distance_{part}" for part in ("mean", "std")}
    assert {ours: found[ours] for ours in names} == pytest.approx({o: whole[t] for o, t in names.items()}, rel=1e-6)


def test_mean_and_covariance_are_numpys_whatever_the_parts(monkeypatch):
    monkeypatch.setattr(fidelity, "_ROWS", 7)
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) + 3
    found, exact = fidelity.statistics(features), features.double().numpy()
    np.testing.assert_allclose(found["mu"], exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["sigma"], np.cov(exact, rowvar=False), rtol=1e-10)


def test_precision_and_recall_are_the_shares_within_the_balls(monkeypatch):
    monkeypatch.setattr(fidelity, "_DISTANCES", 100)
    draws = torch.Generator().manual_seed(0)
    drawn, real = torch.randn(50, 4, generator=draws), torch.randn(30, 4, generator=draws) * 2 + 2

    def covered(points, by):
        radius = torch.stack([(by - centre).norm(dim=1).sort().values[3] for centre in by])
        return ((points[:, None] - by).norm(dim=2) <= radius).any(dim=1).double().mean().item()

    found = fidelity.precision_and_recall(drawn, real)
    assert found == pytest.approx({"precision": covered(drawn, real), "recall": covered(real, drawn)})
    assert 0 < found["recall"] < found["precision"] < 1
    far = fidelity.precision_and_recall(drawn, real + 100)
    assert far == {"precision": 0, "recall": 0}
    assert fidelity.precision_and_recall(drawn, real[:3]) == {"precision": None, "recall": None}


def test_too_few_pictures_for_the_features_are_said():
    assert fidelity.low_rank(torch.zeros(129, 128), torch.zeros(200, 128)) is None
    said = fidelity.low_rank(torch.zeros(2000, 2048), torch.zeros(2933, 2048))
    assert said.startswith("2,000 pictures span no space of 2,048 features")


def test_the_count_in_the_name_is_kept_to(small_net):
    with pytest.raises(UserError, match=r"fid2k-aviarynet1 .* 2,000 generated images and got 90"):
        fidelity.score(pictures(), pictures(), "fid2k-aviarynet1")


@pytest.mark.parametrize(
    ("real", "sentence"),
    [
        (pictures(1), "at least two real images, and there are 1"),
        (pictures(9).float(), r"real images .* uint8 .*float32"),
        (pictures(9).permute(0, 2, 3, 1), r"real images .* \(16, 16, 3\)"),
        (list(range(9)), "the first is int"),
    ],
)
def test_what_is_no_set_of_images_is_refused(small_net, real, sentence):
    with pytest.raises(UserError, match=sentence):
        fidelity.score(pictures(), real, PROTOCOL)


def test_the_committed_aviarynet_gives_features_and_body_colours():
    shared = aviarynet.load()
    extractor = extractors.AviaryNetExtractor("aviarynet1", ["body", "pool"])
    body, pool = extractor(pictures(4, side=32))
    assert (body.shape, pool.shape) == ((4, 9), (4, 128))
    expected, _ = shared.embed(pictures(4, side=32).float() / 127.5 - 1)
    torch.testing.assert_close(pool, expected)
    assert extractor.net is not shared  # torch-fidelity may move its own to a GPU


def test_the_legacy_affine_dims_the_picture_as_dm_gans_does():
    ends = extractors.legacy_affine(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)).view(2, 3)
    torch.testing.assert_close(ends[0], torch.tensor([-0.030, -0.088, -0.188]), atol=1e-6, rtol=0)
    torch.testing.assert_close(ends[1], torch.tensor([0.428, 0.360, 0.262]), atol=1e-6, rtol=0)


def test_the_legacy_extractor_gives_torchvisions_pooled_features(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = inception_v3(weights=None, init_weights=False, transform_input=False)
    torch.save(net.state_dict(), tmp_path / "random.pth")
    monkeypatch.setattr(weights, "legacy_weights", lambda path: path)
    extractor = extractors.InceptionLegacy("inception-legacy", ["2048"], tmp_path / "random.pth")
    images = pictures(2, side=299)
    with torch.no_grad():
        (features,) = extractor(images)
        captured = []
        net.eval().avgpool.register_forward_hook(lambda *call: captured.append(call[-1].flatten(1)))
        net(extractors.legacy_affine(images.float() / 255))
        (resized,) = extractor(pictures(2, side=16))
    torch.testing.assert_close(features, captured[0])
    assert resized.shape == (2, 2048)


def test_pytorch_fid_is_the_same_network_with_its_own_preparation(tmp_path, monkeypatch):
    torch.save({}, tmp_path / "nothing.pth")
    monkeypatch.setattr(weights, "inception_weights", lambda path: tmp_path / "nothing.pth")
    monkeypatch.setattr(extractors.InceptionTf, "load_state_dict", lambda self, state: None)
    theirs, ours = (kind("x", ["2048"]) for kind in (extractors.InceptionTf, extractors.PytorchFid))
    nn.Module.load_state_dict(ours, nn.Module.state_dict(theirs))
    shown, images = [], pictures(2, side=40)
    ours.Conv2d_1a_3x3.register_forward_pre_hook(lambda layer, given: shown.append(given[0]))
    with torch.no_grad():
        (found,) = ours(images)
        x = images.float() / 127.5 - 1
        torch.testing.assert_close(shown[0], nn.functional.interpolate(x, 299, mode="bilinear"), atol=1e-5, rtol=0)
        whole = pictures(2, side=299)
        torch.testing.assert_close(ours(whole)[0], theirs(whole)[0], atol=0.02 * theirs(whole)[0].std(), rtol=0.02)
    assert found.shape == (2, 2048)


def test_a_score_moves_no_random_generator(small_net):
    before = torch.get_rng_state()
    fidelity.score(pictures(), pictures(), PROTOCOL)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", extractors.EXTRACTORS)
def test_making_an_extractor_moves_no_random_generator(name, imagenet_file, tmp_path, monkeypatch):
    torch.save({}, tmp_path / "nothing.pth")
    monkeypatch.setattr(weights, "legacy_weights", lambda path: imagenet_file)
    monkeypatch.setattr(weights, "inception_weights", lambda path: tmp_path / "nothing.pth")
    monkeypatch.setattr(extractors.InceptionTf, "load_state_dict", lambda self, state: None)
    monkeypatch.setattr(finetuned, "_read", lambda file, wanted: {})
    monkeypatch.setattr(
        finetuned,
        "_in_our_layout",
        lambda net, *given: {key: torch.ones_like(value, device="cpu") for key, value in net.state_dict().items()},
    )
    before, kind = torch.get_rng_state(), extractors.EXTRACTORS[name]
    kind(name, list(kind.get_provided_features_list())[:1], feature_extractor_weights_path=tmp_path / "nothing.pth")
    assert torch.equal(torch.get_rng_state(), before)
