"""``evaluate(run)``: everything that the course measures of a run, in one record."""

import time

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from t2i import data, device, results
from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.data.images import from_uint8, to_uint8
from t2i.errors import UserError
from t2i.metrics import attributes, conditioning, encoders, fidelity, protocols, retrieval
from t2i.training.image_features import Whitening, extractor, image_features
from t2i.training.run import Run


def evaluate(run: Run, protocol: str | None = None) -> dict:
    """Measure ``run`` on the unseen split of its data, write the record into the run folder and return it.

    Char-CNN-RNN is measured by zero-shot classification and retrieval, DAMSM by retrieval and R-precision; a generator
    by FID, IS and KID under ``protocol`` (default: the one of its config), by R-precision where it reads words, by
    attribute accuracy where attributes are known, and by how much of each is lost when the captions are shuffled. The
    default protocol's record is ``result.json``, any other ``result-<protocol>.json``. Where an imported generator has
    no image encoder, R-precision is left out with a note. Raises :class:`UserError` for an unknown protocol and for
    missing weights.
    """
    started = time.perf_counter()
    config = run.config
    index = data.load(config)
    if run.reads_words:
        index = index.with_words()
    unseen = ImageTextDataset(index, "test", (config.image_size,), config.crop, config.resize, config.images_per_class)
    name = protocol or config.evaluation_protocol
    if run.is_encoder and name != config.evaluation_protocol:
        problem = f"{config.model} is measured by {config.evaluation_protocol}, not by {name}"
        raise UserError(problem, "Leave --protocol out: it chooses how the pictures of a generator are measured.")
    measure = {"char-cnn-rnn": _char_cnn_rnn, "damsm": _damsm}.get(config.model, _generator)
    metrics, extra = measure(run, unseen, name)
    settings = name if run.is_encoder else protocols.get(name)
    record = results.record(config, metrics, settings, extra, seconds=round(time.perf_counter() - started, 1))
    record["steps"] = run.state["step"]
    file = "result.json" if name == config.evaluation_protocol else f"result-{name}.json"
    results.write(run.directory, record, file)
    return record


def _generator(run: Run, unseen: ImageTextDataset, name: str) -> tuple[dict, dict]:
    protocol, seed = protocols.get(name), run.config.seed
    captions, numbers = test_captions(unseen, protocol.images, seed)
    generated = run.generate(captions, seed=seed)
    metrics = fidelity.score(generated, real_images(unseen), protocol, device.choose(run.device))
    extra = {"shuffled_captions": "each picture is judged by the caption of another, drawn at random"}
    order = np.array(conditioning.shuffle(range(len(captions)), seed))
    shuffled = [captions[k] for k in order]
    if run.state["networks"]["discriminators"]:  # an imported generator may have come without
        metrics |= conditioning.matching_scores(run, unseen, seed)
    if run.sees_images:
        metrics |= _r_precision(run, generated, captions, unseen.labels[numbers], order, unseen)
    elif run.reads_words:
        extra["r_precision"] = f"left out: {run.directory.name} holds no image encoder to judge with"
        mend = "Import its text encoder with --image-encoder, then the generator again."
        tqdm.write(f"R-precision is {extra['r_precision']}. {mend}")
    if data.DATASETS[run.config.dataset].attributes:
        right, wrong = (attributes.accuracy(generated, given) for given in (captions, shuffled))
        metrics |= {"body_accuracy": right["body"]["accuracy"], "body_accuracy_shuffled": wrong["body"]["accuracy"]}
        extra["attributes"] = {
            attribute: row | {"shuffled": wrong[attribute]["accuracy"]} for attribute, row in right.items()
        }
    return metrics, extra


def _r_precision(
    run: Run, generated: Tensor, captions: list[str], classes: np.ndarray, order: np.ndarray, unseen
) -> dict:
    """R-precision with the captions that the pictures were drawn for, and with those of others (in ``order``)."""
    with device.on_device(run.image_encoder, run.device) as image:
        codes = torch.cat([encoders.image_codes(image, from_uint8(part)) for part in generated.split(100)])
    with device.on_device(run.encoder, run.device) as text:
        return encoders.of_pictures(codes, captions, classes, text, unseen, run.config.seed, dealt=order)


def _char_cnn_rnn(run: Run, unseen: ImageTextDataset, _: str) -> tuple[dict, dict]:
    kind = run.state["extras"]["image_features"]
    images = image_features(unseen, extractor(kind), torch.device(device.choose(run.device)))
    if weights := run.state["networks"]["image"]:
        whitening = Whitening(images.shape[1], run.config.embedding_size)
        whitening.load_state_dict(weights)
        images = whitening(images)
    texts = run.encode([caption for example in unseen.examples for caption in example.captions])
    text_labels = np.repeat(unseen.labels, [len(example.captions) for example in unseen.examples])
    metrics = {
        "zero_shot_accuracy": retrieval.zero_shot_accuracy(images, unseen.labels, texts, text_labels),
        "retrieval_ap50": retrieval.average_precision_at(50, images, unseen.labels, texts, text_labels),
        "chance": 1 / (int(unseen.labels.max()) + 1),
        "real_count": len(unseen),
    }
    return metrics, {"image_features": kind}


def _damsm(run: Run, unseen: ImageTextDataset, _: str) -> tuple[dict, dict]:
    seed, trials = run.config.seed, run.config.trials
    with (
        device.on_device(run.encoder, run.device) as text,
        device.on_device(run.image_encoder, run.device) as image,
    ):
        metrics = encoders.retrieval(text, image, unseen, seed)
        metrics |= encoders.real_r_precision(text, image, unseen, seed, trials)
    return metrics | {"real_count": len(unseen)}, {"trunk": run.config.trunk}


def test_captions(unseen: ImageTextDataset, count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """``count`` captions of unseen images, every image in turn, and the numbers of their images."""
    numbers = np.arange(count) % len(unseen)
    drawn = unseen.captions(numbers, rng_for(seed, 0, "evaluation captions"))
    return [caption for (caption,) in drawn], numbers


def real_images(unseen: ImageTextDataset, batch_size: int = 256) -> Tensor:
    """The middle crops of all unseen images: uint8 (N, 3, s, s)."""
    numbers = torch.arange(len(unseen)).split(batch_size)
    return torch.cat([to_uint8(unseen.evaluation_images(part.tolist())[-1]) for part in numbers])
