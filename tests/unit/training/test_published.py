"""The published embeddings in place of an encoder: read safely, looked up by caption, refused where they do not fit."""

import pickle
import shutil

import numpy as np
import pytest
import torch

from t2i import config as configs
from t2i import data
from t2i.data.index import Index
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run, fit
from t2i.training.published import FILE, PublishedEmbeddings

LITTLE = dict(steps=1, batch_size=2, generator_width=4, discriminator_width=2)
SETTINGS = LITTLE | {"text_encoder": "published-embeddings"}


@pytest.fixture
def published(little_cub, tmp_path, monkeypatch) -> Index:
    """The little CUB with embeddings of both splits, and one image more than it has in the test split's files."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    index, rng = data.read("cub", little_cub), np.random.default_rng(0)
    for split in ("train", "test"):
        keys = [example.key for example in index.split(split)] + (["another"] if split == "test" else [])
        folder = little_cub / "birds" / split
        folder.mkdir(parents=True)
        vectors = list(rng.standard_normal((len(keys), 2, 1024), dtype=np.float32))
        (folder / FILE).write_bytes(pickle.dumps(vectors, protocol=2))
        (folder / "filenames.pickle").write_bytes(pickle.dumps(keys[::-1], protocol=2))
    return index


def test_captions_find_their_own_row(published, little_cub):
    encoder = PublishedEmbeddings(published)
    for split in ("train", "test"):
        folder = little_cub / "birds" / split
        vectors, keys = (pickle.loads((folder / name).read_bytes()) for name in (FILE, "filenames.pickle"))
        for example in published.split(split):
            wanted = torch.from_numpy(vectors[keys.index(example.key)])[1]
            assert torch.equal(encoder.encode([example.captions[1]])[0], wanted)
    captions = [example.captions[1] for example in published.examples[:3]]
    text = encoder.features(captions)
    assert text.words is None and torch.equal(text.sentence, encoder.encode(captions))


def test_they_may_lie_in_the_root_itself(published, little_cub):
    for split in ("train", "test"):
        shutil.move(little_cub / "birds" / split, little_cub / split)
    assert PublishedEmbeddings(published).vectors.shape == (13 * 2, 1024)


@pytest.mark.slow
def test_a_gan_trains_goes_on_and_is_measured_with_them(published, little_cub, tmp_path):
    config = configs.load("stackgan-cnn", "cub", "smoke", root=str(little_cub), **SETTINGS)
    run = Run.load(fit(config).directory)
    caption = published.examples[0].captions[1]
    assert run.sample([caption]).shape == (1, 3, 16, 16)
    assert evaluate(run)["metrics"]["fid"] > 0
    assert (run.directory / "checkpoint.pt").stat().st_size < 20e6
    with pytest.raises(UserError, match=r"'a red bird' is no caption of the data set.*--text-encoder char-cnn-rnn"):
        run.sample(["a red bird"])
    second = configs.load("stackgan-stage2", "cub", "smoke", stage1=str(run.directory), **LITTLE, root=str(little_cub))
    stacked = fit(second)
    assert stacked.config.text_encoder == "published-embeddings"  # as its Stage-I
    assert stacked.sample([caption]).shape == (1, 3, 64, 64)


def broken(folder, how: str):
    """Damage the training split's files."""
    file = folder / FILE
    if how == "missing":
        shutil.rmtree(folder)
    elif how == "names":
        (folder / "filenames.pickle").unlink()
    elif how == "fewer names":
        (folder / "filenames.pickle").write_bytes(pickle.dumps(["x"], protocol=2))
    elif how == "another split":
        names = pickle.loads((folder / "filenames.pickle").read_bytes())
        (folder / "filenames.pickle").write_bytes(pickle.dumps([name + "x" for name in names], protocol=2))
    elif how == "captions":
        vectors = pickle.loads(file.read_bytes())
        file.write_bytes(pickle.dumps([np.concatenate([v, v]) for v in vectors], protocol=2))
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif how == "code":
        file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", r"birds/train/char-CNN-RNN-embeddings\.pickle is missing\. Unpack StackGAN's birds\.zip"),
        ("names", r"filenames\.pickle does not exist"),
        ("fewer names", r"birds/train holds the embeddings of 6 images and the names of 1\. Take both"),
        ("another split", r"char-CNN-RNN-embeddings\.pickle has no embeddings of 00\d\.Bird"),
        ("captions", r"00\d\.Bird\d/Bird\d_0000 has 2 captions, and 4 embeddings\. Restore"),
        ("cut", r"char-CNN-RNN-embeddings\.pickle cannot be read: it is cut short"),
        ("code", r"'os\.system', which no metadata needs: it was not opened"),
    ],
)
def test_what_does_not_fit_is_said(published, little_cub, tmp_path, how, sentence):
    broken(little_cub / "birds" / "train", how)
    with pytest.raises(UserError, match=sentence):
        fit(configs.load("stackgan-cnn", "cub", "smoke", root=str(little_cub), **SETTINGS))
    assert not list((tmp_path / "runs").rglob("*.pt"))
