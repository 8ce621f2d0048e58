"""Little data sets and runs: a broken-to-order CUB, and a small Aviary with models that train in about a second."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision.models import inception_v3

from t2i import config as configs
from t2i import paths
from t2i.data import aviary, folder

TINY = dict(steps=8, batch_size=8, generator_width=8, discriminator_width=8, log_every=2, checkpoint_every=4)
TINY_STAGES = dict(steps=2, batch_size=4, generator_width=4, discriminator_width=2, log_every=1, checkpoint_every=1)
TINY_DAMSM = dict(steps=4, batch_size=16, trunk_width=4, trials=50, log_every=2, checkpoint_every=4)


def picture(path: Path, width: int, height: int, seed: int = 0) -> Path:
    """A JPEG or PNG of smooth random colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.BICUBIC).save(path)
    return path


@pytest.fixture
def draw_picture():
    return picture


@pytest.fixture
def little_cub(tmp_path):
    """Twelve images, three in each of the classes 1 to 4, of which 1 and 4 are test classes; two captions each."""
    root = tmp_path / "cub"
    base = root / "CUB_200_2011"
    tables = {"images": [], "bounding_boxes": [], "image_class_labels": [], "classes": []}
    for label in range(1, 5):
        tables["classes"].append(f"{label} {label:03d}.Bird{label}")
        for k in range(3):
            number = (label - 1) * 3 + k + 1
            key = f"{label:03d}.Bird{label}/Bird{label}_{k:04d}"
            picture(base / "images" / f"{key}.jpg", 90 + 10 * k, 80, seed=number)
            tables["images"].append(f"{number} {key}.jpg")
            tables["bounding_boxes"].append(f"{number} 20.0 10.0 40.0 50.0")
            tables["image_class_labels"].append(f"{number} {label}")
            text = root / "text" / f"{key}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"a bird of kind {label}\nthis bird has number {number}.\n")
    for name, lines in tables.items():
        (base / f"{name}.txt").write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return root


@pytest.fixture
def little_flowers(tmp_path):
    """Six images of the classes 4, 5 and 6."""
    root = tmp_path / "flowers"
    labels = [4, 5, 6, 4, 5, 6]
    for number, label in enumerate(labels, start=1):
        picture(root / "jpg" / f"image_{number:05d}.jpg", 40, 40, seed=number)
        text = root / "text_c10" / f"class_{label:05d}" / f"image_{number:05d}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(f"flower {number}\n\nof kind {label}\n")
    savemat(root / "imagelabels.mat", {"labels": np.array([labels])})
    return root


@pytest.fixture
def without_classes(tmp_path):
    """A prepared folder of twelve pictures, three of them to test with, that belong to no classes."""
    lines = ["file,caption,split"]
    for k in range(12):
        picture(tmp_path / "photos" / f"{k}.png", 50, 40, seed=k)
        lines.append(f"{k}.png,a picture with number {k},{'test' if k > 8 else 'train'}")
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    folder.prepare(tmp_path / "photos", tmp_path / "captions.csv", tmp_path / "boats")
    return tmp_path / "boats"


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory):
    """COCO with eight train images and six val images, of three captions each."""
    root = tmp_path_factory.mktemp("common") / "coco"
    for part, numbers in (("train", range(8)), ("val", range(8, 14))):
        images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in numbers]
        texts = ("photo {} of a thing", "thing number {}", "this is {}")
        captions = [{"image_id": k, "caption": text.format("abcdefghijklmn"[k])} for k in numbers for text in texts]
        file = root / "annotations" / f"captions_{part}2017.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": captions}))
        for number in numbers:
            picture(root / f"{part}2017" / f"{number:012d}.jpg", 30, 20, seed=number)
    return root


@pytest.fixture(scope="session")
def little_aviary(tmp_path_factory):
    root = tmp_path_factory.mktemp("birds") / "aviary"
    aviary.write(root, size=48, images_per_species=3)
    return root


@pytest.fixture(scope="session")
def encoder_folder(little_aviary, tmp_path_factory):
    """A text encoder of two steps, which every GAN below uses."""
    from t2i.training import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("encoder")))
        return fit(configs.load("char-cnn-rnn", "aviary", "smoke", root=str(little_aviary), steps=2)).directory


@pytest.fixture(scope="session")
def trained():
    """The folders of the runs that :func:`finished` trained so far, by their fingerprints."""
    return {}


@pytest.fixture
def finished(trained, tmp_path_factory):
    """``finished(config)`` is the run that ``fit(config)`` leaves, in a folder of the test's own, but trained only once
    for all tests that ask for it."""
    from t2i.training import Run, fit

    def run(config):
        key = config.fingerprint()
        if key not in trained:
            trained[key] = fit(config, directory=tmp_path_factory.mktemp("trained") / config.name).directory
        return Run.load(shutil.copytree(trained[key], config.directory))

    return run


@pytest.fixture
def tiny(little_aviary, encoder_folder, tmp_path, monkeypatch):
    """``tiny(model, **overrides)`` is a config whose run folder is the test's own."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))

    def config(model: str = "gan-cls", **overrides):
        settings = TINY | {"root": str(little_aviary), "text_encoder": str(encoder_folder)} | overrides
        return configs.load(model, "aviary", "smoke", **settings)

    return config


@pytest.fixture(scope="session")
def stage1_folder(little_aviary, encoder_folder, tmp_path_factory):
    """A Stage-I of two steps with residual blocks, to be read only."""
    from t2i.training import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("stage1")))
        settings = TINY | {"root": str(little_aviary), "text_encoder": str(encoder_folder), "steps": 2}
        return fit(configs.load("stackgan-res", "aviary", "smoke", **settings)).directory


@pytest.fixture
def tiny_stack(tiny, stage1_folder):
    """``tiny_stack(model, **overrides)`` is a config of any StackGAN whose run folder is the test's own."""

    def config(model: str, **overrides):
        stage1 = {"stage1": str(stage1_folder)} if model == "stackgan-stage2" else {}
        return tiny(model, **dict(steps=2, batch_size=4, log_every=1, checkpoint_every=1) | stage1 | overrides)

    return config


@pytest.fixture
def tiny_damsm(little_aviary, tmp_path, monkeypatch):
    """``tiny_damsm(**overrides)`` is a config whose run folder is the test's own; its epochs have five steps."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))

    def config(**overrides):
        return configs.load("damsm", "aviary", "smoke", **TINY_DAMSM | {"root": str(little_aviary)} | overrides)

    return config


@pytest.fixture(scope="session")
def damsm_folder(little_aviary, tmp_path_factory):
    """A DAMSM of two steps, to be read only."""
    from t2i.training import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("damsm")))
        settings = TINY_DAMSM | {"root": str(little_aviary), "steps": 2}
        return fit(configs.load("damsm", "aviary", "smoke", **settings)).directory


@pytest.fixture
def tiny_stages(little_aviary, damsm_folder, tmp_path, monkeypatch):
    """``tiny_stages(model, **overrides)`` is a config of a multi-stage model whose run folder is the test's own."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))

    def config(model: str = "attngan", **overrides):
        settings = TINY_STAGES | {"root": str(little_aviary), "text_encoder": str(damsm_folder)} | overrides
        return configs.load(model, "aviary", "smoke", **settings)

    return config


@pytest.fixture(scope="session")
def imagenet_file(tmp_path_factory):
    """A file like torchvision's Inception weights, classifiers and all, with random numbers in it."""
    torch.manual_seed(0)
    weights = inception_v3(weights=None, aux_logits=True, init_weights=False).state_dict()
    for name, value in weights.items():  # a fresh batch norm changes nothing, so that nobody would miss it
        if "running_mean" in name:
            value.normal_(0, 0.1)
        elif "running_var" in name:
            value.uniform_(0.01, 0.1)
    file = tmp_path_factory.mktemp("imagenet") / "inception.pth"
    torch.save(weights, file)
    return file


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Runs and recorded results in a fresh folder, so that nothing of this machine enters a table."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "recorded")
    monkeypatch.setattr(paths, "released", lambda: tmp_path / "released")
    return tmp_path
