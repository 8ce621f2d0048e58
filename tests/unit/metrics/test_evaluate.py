"""The record of a run: what is in it, what is left out, and what measuring leaves alone."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from t2i import checkpoint, data
from t2i.__main__ import main
from t2i.data.dataset import ImageTextDataset
from t2i.errors import UserError
from t2i.metrics import fidelity, r_precision, records
from t2i.metrics.evaluate import Evaluation, evaluate, real_images
from t2i.metrics.evaluate import test_captions as draw_captions
from t2i.metrics.metric import Metric
from t2i.metrics.protocols import PROTOCOLS
from t2i.metrics.table import METRICS
from t2i.training import Run

WAYS = "captions", "images", "words_captions", "words_images"


def test_a_run_is_measured_into_its_folder(damsm_folder):
    run = Run.load(damsm_folder)
    record = evaluate(run)
    assert record == json.loads((damsm_folder / "result.json").read_text())
    names = {f"{way}_recall_at_{k}" for way in WAYS for k in (1, 5, 10)}
    rules = ("r_precision", "r_precision_official")
    names |= {f"{rule}{folds}{std}" for rule in rules for folds in ("", "_published_folds") for std in ("", "_std")}
    names |= {"chance", *(f"{rule}_chance" for rule in rules)}
    assert record["metrics"].keys() == names and record["metrics"]["chance"] == pytest.approx(1 / 30)
    assert 0.01 <= record["metrics"]["r_precision_chance"] < 0.02  # 99 of 300 captions, some more than once
    assert record["metrics"]["r_precision"] <= record["metrics"]["r_precision_official"]
    assert record["protocol"] == "r-precision" and record["extra"] == {"trunk": "small"}
    judged = f"r-precision-50-damsm-{run.encoders.digest}"
    assert record["protocols"] == {"retrieval": "recall-30", "real_r_precision": judged}
    assert (record["origin"], record["finished"], record["preparation"]) == ("own", True, "box, shorter")
    assert record["real_count"] == 30 and record["steps"] == 2
    assert evaluate(run)["metrics"] == record["metrics"]


def test_half_a_pair_cannot_be_measured(damsm_folder):
    for name, sentence in (("encoder", "holds no text encoder"), ("image", "holds no image encoder")):
        run = Run.load(damsm_folder)
        run.state["networks"][name] = {}
        with pytest.raises(UserError, match=sentence):
            evaluate(run)


@pytest.mark.parametrize(
    ("keep", "alone", "left", "said"),
    [
        (30, True, {"real_r_precision": "all are of 1"}, "unseen images of at least 2 classes"),
        (1, False, {"retrieval": "there is 1", "real_r_precision": "there is 1"}, "at least 2 unseen images"),
    ],
)
def test_what_the_unseen_images_do_not_allow_is_left_out_with_a_note(
    damsm_folder, monkeypatch, capsys, keep, alone, left, said
):
    run, load = Run.load(damsm_folder), data.load
    del run.state["data"]  # or it would be refused: it learned from others than these few

    def few(config):
        index = load(config)
        test = [replace(e, class_id=1 if alone else e.class_id) for e in index.split("test")[:keep]]
        return replace(index, examples=index.split("train") + test)

    monkeypatch.setattr(data, "load", few)
    record = evaluate(run, write=False)
    assert {name for name, note in record["extra"].items() if note.startswith("left out")} == set(left)
    assert all(part in record["extra"][name] for name, part in left.items())
    assert not set(left) & set(record["protocols"]) and said in capsys.readouterr().out
    with pytest.raises(UserError, match=f"real_r_precision cannot be measured: it takes {said}"):
        evaluate(run, ["real_r_precision"], write=False)


def test_every_unseen_image_has_its_caption_in_turn_or_some_are_drawn(little_aviary):
    index = data.read("aviary", little_aviary)
    unseen = ImageTextDataset(index, "test", (32,))
    captions, numbers = draw_captions(unseen, 70, seed=0)
    assert numbers.tolist() == [k % 30 for k in range(70)]
    found = {seed: draw_captions(unseen, 10, seed) for seed in (0, 1)}
    for captions, numbers in found.values():
        assert len(set(numbers)) == 10 and set(numbers) != set(range(10))  # not the first in file order
        assert all(c in unseen.examples[n].captions for c, n in zip(captions, numbers, strict=True))
    assert found[0][1].tolist() != found[1][1].tolist()
    assert draw_captions(unseen, 10, 0)[0] == found[0][0]


# --- a part of it


@pytest.fixture
def gan(finished, tiny, tmp_path):
    """A GAN of two steps whose folder is not there yet."""
    run = finished(tiny(steps=2))
    return Run(run.config, run.state, tmp_path / "run")


def test_without_write_the_folder_is_left_alone(gan):
    record = evaluate(gan, ["matching"], write=False)
    assert set(record["protocols"]) == {"matching"} and not gan.directory.exists()


def test_every_metric_names_its_protocol(gan):
    record = evaluate(gan)
    known = {"fidelity": "fid200-aviarynet1", "attributes": "attributes-200-aviarynet1"}
    known["matching"] = f"matching-30-char-cnn-rnn-{gan.encoders.digest}"
    assert record["protocols"].items() >= known.items()
    assert (record["generated_count"], record["real_count"]) == (200, 30)
    assert record["train_seconds"] == gan.state.get("seconds") and record["eval_seconds"] > 0
    assert "seconds" not in record


def test_a_part_draws_no_pictures_that_it_does_not_need(gan, monkeypatch):
    monkeypatch.setattr(gan, "stream", pytest.fail)
    record = evaluate(gan, ["matching"], write=False)
    assert record["generated_count"] is None and record["real_count"] == 30


def test_the_pictures_are_drawn_once_for_all_metrics(gan, monkeypatch):
    drawn, stream = [], gan.stream
    monkeypatch.setattr(gan, "stream", lambda *given, **more: drawn.append(given) or stream(*given, **more))
    evaluate(gan, ["fidelity", "attributes", "matching"], write=False)
    assert len(drawn) == 1


def test_a_part_joins_the_figures_that_are_there(gan):
    whole = evaluate(gan)
    broken = whole | {"metrics": whole["metrics"] | {"matching_score": 0.0, "fid": 1.5}}
    records.write(gan.directory, broken)
    joined = evaluate(gan, ["matching"])
    assert joined == records.read(gan.directory / "result.json")
    assert joined["metrics"] == whole["metrics"] | {"fid": 1.5} and joined["protocols"] == whole["protocols"]
    assert joined["extra"] == whole["extra"] and joined["generated_count"] == 200


def test_a_part_does_not_join_figures_of_another_state(gan):
    evaluate(gan, ["matching"])
    before = (gan.directory / "result.json").read_bytes()
    later = Run(gan.config, gan.state | {"step": 3}, gan.directory)
    with pytest.raises(UserError, match=r"cannot join \(steps 2 there and 3 now\)\. Measure all again"):
        evaluate(later, ["attributes"])
    assert (gan.directory / "result.json").read_bytes() == before
    assert evaluate(later)["steps"] == 3  # a whole measurement replaces the record


def test_another_protocol_has_a_file_of_its_own(gan, monkeypatch):
    few = replace(PROTOCOLS["fid200-aviarynet1"], name="fid100-aviarynet1", images=100)
    monkeypatch.setitem(PROTOCOLS, few.name, few)
    record = evaluate(gan, ["fidelity"], few.name)
    assert record == records.read(gan.directory / "result-fid100-aviarynet1.json")
    assert record["protocol"] == few.name and record["generated_count"] == 100
    assert not (gan.directory / "result.json").exists()


def test_unknown_metrics_are_refused_with_those_that_exist(gan, damsm_folder):
    with pytest.raises(UserError, match=r"no metric called 'fid'\. Choose one of: fidelity, attributes, diversity, "):
        evaluate(gan, ["fid"])
    with pytest.raises(UserError, match="r_precision does not apply to run: it needs a generator that reads words"):
        evaluate(gan, ["r_precision"])
    with pytest.raises(UserError, match=r"fidelity does not apply .* Choose one of: retrieval, real_r_precision\."):
        evaluate(Run.load(damsm_folder), ["fidelity"])


def test_a_new_metric_is_one_entry(gan, monkeypatch):
    class Brightness(Metric):
        name = "brightness"

        def protocol(self, evaluation):
            return f"brightness-{len(evaluation.captions)}"

        def look(self, evaluation):
            return nullcontext(lambda pictures: {"means": pictures.double().mean(dim=(1, 2, 3))})

        def measure(self, evaluation):
            return {"brightness": evaluation.of_generated(self)["means"].mean() / 255}

    monkeypatch.setitem(METRICS, "brightness", Brightness())
    record = evaluate(gan)
    assert 0 < record["metrics"]["brightness"] < 1 and record["metrics"]["fid"] > 0
    assert record["protocols"]["brightness"] == "brightness-200"


def test_the_command_measures_a_part(gan, capsys):
    gan.directory.mkdir()
    checkpoint.save(gan.directory / "checkpoint.pt", {k: v for k, v in gan.state.items() if k != "format"})
    (gan.directory / "config.json").write_text(json.dumps(gan.config.to_dict()))
    assert main(["evaluate", "--run", str(gan.directory), "--metric", "matching", "attributes"]) == 0
    shown = capsys.readouterr().out
    assert "matching_score" in shown and "body_accuracy" in shown and "fid" not in shown


# --- one pass, and what is kept of the real images


def test_pictures_pass_by_in_batches_and_the_figures_are_those_of_all_at_once(finished, tiny_stages, monkeypatch):
    run, names = finished(tiny_stages()), ["fidelity", "attributes", "r_precision"]
    drawn, pictures = [], run._pictures
    monkeypatch.setattr(run, "_pictures", lambda *given: (drawn.append(len(p)) or p for p in pictures(*given)))
    monkeypatch.setattr(type(run), "batch_size", 60)
    protocol = PROTOCOLS["fid200-aviarynet1"]
    whole = Evaluation(run, protocol)
    whole.generated = run.generate(whole.captions, seed=run.config.seed)
    at_once = fidelity.score(whole.generated, real_images(whole.unseen), protocol)
    at_once |= {key: value for name in names[1:] for key, value in METRICS[name].measure(whole).items()}

    drawn.clear()
    record = evaluate(run, names, write=False)
    assert drawn == [60, 60, 60, 20]
    found = record["metrics"] | {"generated_count": record["generated_count"], "real_count": record["real_count"]}
    assert found == pytest.approx(at_once, rel=1e-6)


def test_pictures_that_are_set_anew_are_measured_anew(gan):
    evaluation, metric = Evaluation(gan, PROTOCOLS["fid200-aviarynet1"]), METRICS["fidelity"]
    evaluation.generated = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    black = metric.measure(evaluation)["fid"]
    evaluation.generated = evaluation.generated + 255
    assert metric.measure(evaluation)["fid"] != pytest.approx(black, rel=0.01)


def test_features_of_real_images_are_kept_under_all_that_they_depend_on(gan, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    protocol, metric = PROTOCOLS["fid200-aviarynet1"], METRICS["fidelity"]

    def file(run=gan, protocol=protocol):
        return fidelity.kept_in(Evaluation(run, protocol))

    first = evaluate(gan, ["fidelity"], write=False)["metrics"]
    assert list((tmp_path / "data" / "cache" / "features").iterdir()) == [file()]
    monkeypatch.setattr(Evaluation, "of_real", pytest.fail)
    assert evaluate(gan, ["fidelity"], write=False)["metrics"] == first
    monkeypatch.undo()

    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    few = replace(gan.config, images_per_class=2)
    other_files = {
        "crop": file(Run(replace(gan.config, crop="whole"), gan.state)),
        "resize": file(Run(replace(gan.config, resize="square"), gan.state)),
        "images": file(Run(few, gan.state)),
        "layer": file(protocol=replace(protocol, fid_layer="body")),
    }
    moved = Evaluation(gan, protocol)
    next(moved.extractor.parameters()).data.view(-1)[0] += 1
    other_files["weights"] = fidelity.kept_in(moved)
    assert len({file(), *other_files.values()}) == 1 + len(other_files)

    kept = load_file(file())["features"]
    save_file({"features": kept[:5]}, file())  # of another count
    assert metric.real_features(Evaluation(gan, protocol)).shape == kept.shape
    file().write_bytes(file().read_bytes()[:100])  # damaged
    assert torch.equal(metric.real_features(Evaluation(gan, protocol)), kept)


def test_a_changed_picture_is_another_set(little_aviary, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    root = shutil.copytree(little_aviary, tmp_path / "aviary")
    index = data.read("aviary", root)
    before = ImageTextDataset(index, "test", (32,)).cache.digest
    assert ImageTextDataset(data.read("aviary", little_aviary), "test", (32,)).cache.digest == before  # elsewhere
    picture = index.split("test")[3].image
    shutil.copy(index.split("test")[4].image, picture)
    assert ImageTextDataset(index, "test", (32,)).cache.digest != before


# --- what measuring leaves alone


def generator_states() -> tuple[bytes, str]:
    """torch's and numpy's global random generators."""
    return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state())


@pytest.mark.parametrize("kind", ["gan-cls", "damsm", "char-cnn-rnn"])
def test_measuring_moves_no_global_generator(kind, gan, damsm_folder, encoder_folder):
    run = gan if kind == "gan-cls" else Run.load({"damsm": damsm_folder, "char-cnn-rnn": encoder_folder}[kind])
    before = generator_states()
    evaluate(run, write=False)
    assert generator_states() == before


# --- R-precision


def test_without_an_image_encoder_the_rest_is_measured(finished, tiny_stages, capsys):
    directory = finished(tiny_stages()).directory
    state = checkpoint.read(directory / "checkpoint.pt")
    state["extras"]["text_encoder"]["image"] = {}  # as the import of a text encoder alone leaves it
    checkpoint.save(directory / "checkpoint.pt", state)
    assert main(["evaluate", "--run", str(directory)]) == 0
    record = json.loads((directory / "result.json").read_text())
    assert {"fid", "is_mean", "kid_mean", "matching_score", "body_accuracy"} <= record["metrics"].keys()
    assert all(np.isfinite(value) for value in record["metrics"].values())
    assert not any(name.startswith("r_precision") for name in [*record["metrics"], *record["protocols"]])
    why = "attngan-aviary-smoke-s0 holds no image encoder to judge with"
    assert record["extra"]["r_precision"] == f"left out: {why}"
    said = capsys.readouterr().out
    assert f"r_precision is left out: {why}. Import its text encoder with --image-encoder" in said
    with pytest.raises(UserError, match=why):
        evaluate(Run.load(directory), ["r_precision"])


def test_r_precision_follows_the_captions(finished, tiny_stages, monkeypatch):
    """Each picture is judged by its own caption and by one dealt to it, as in two evaluations that read all anew."""
    run, read, encode = finished(tiny_stages()), [], r_precision.encode
    evaluation, metric = Evaluation(run, PROTOCOLS["fid200-aviarynet1"]), METRICS["r_precision"]
    captions, dealt, unseen = evaluation.captions, evaluation.order, evaluation.unseen
    kept = evaluation.of_generated(metric)
    assert kept["codes"].shape == (200, 256) and sorted(dealt) == list(range(200))
    assert (dealt != np.arange(200)).all()
    assert evaluation.shuffled_captions == [captions[k] for k in dealt]

    codes = kept["codes"] = encode(run.encoder, captions)  # of pictures that show what they were asked for
    monkeypatch.setattr(r_precision, "encode", lambda text, texts: read.extend(texts) or encode(text, texts))
    metrics = metric.measure(evaluation)
    assert len(read) == 200 + sum(len(example.captions) for example in unseen.examples)
    given = unseen.labels[evaluation.numbers]
    own = r_precision.of_pictures(codes, captions, given, run.encoder, unseen, 0)
    others = codes, evaluation.shuffled_captions, given[dealt]
    shuffled = r_precision.of_pictures(*others, run.encoder, unseen, 0)
    assert metrics == own | {"r_precision_shuffled": shuffled["r_precision"]}
    assert metrics["r_precision"] > 0.9 > 0.2 > metrics["r_precision_shuffled"]
