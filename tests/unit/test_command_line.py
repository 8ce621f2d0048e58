"""The command line as a user meets it: what it makes, and the sentence for each bad input."""

import json
from dataclasses import fields

import pytest
import torch
from PIL import Image

from t2i import checkpoint, options, paths
from t2i import config as configs
from t2i.__main__ import main
from t2i.training import released as reading

SMALL = ["--profile", "smoke", "--steps", "2", "--batch-size", "4"]


@pytest.fixture
def run(finished, tiny):
    """A trained run in a folder of the test's own."""
    return finished(tiny(steps=2))


@pytest.fixture
def refused(capsys):
    """``refused(*arguments)`` is the one line on stderr of a command that must fail with status 1."""

    def call(*arguments: str) -> str:
        assert main([str(argument) for argument in arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and "Traceback" not in error
        return error.strip().splitlines()[-1]

    return call


def tree(folder) -> dict:
    """Every file below ``folder`` with its bytes: what must not be lost."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_train_sample_evaluate(little_aviary, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    assert main(["train", "--model", "gan-cls", "--root", str(little_aviary), *SMALL]) == 0
    folder = tmp_path / "gan-cls-aviary-smoke-s0"
    assert (tmp_path / "char-cnn-rnn-aviary-smoke-s0" / "checkpoint.pt").exists()  # trained on the way
    sheet = tmp_path / "sheets" / "birds.png"
    assert main(["sample", "--run", str(folder), "a red bird", "a blue one", "--count", "3", "--out", str(sheet)]) == 0
    assert Image.open(sheet).size == (3 * 34 - 2, 2 * 34 - 2)
    assert main(["evaluate", "--run", str(folder), "--json", str(tmp_path / "copy.json")]) == 0
    record = json.loads((folder / "result.json").read_text())
    assert record == json.loads((tmp_path / "copy.json").read_text())
    assert record["protocol"] == "fid200-aviarynet1" and record["generated_count"] == 200 and record["steps"] == 2
    assert {"fid", "is_mean", "kid_mean", "body_accuracy", "body_accuracy_shuffled", "matching_score"} <= record[
        "metrics"
    ].keys()
    assert main(["evaluate", "--run", str(tmp_path / "char-cnn-rnn-aviary-smoke-s0")]) == 0
    assert "zero_shot_accuracy" in capsys.readouterr().out
    assert main(["table"]) == 0
    table = capsys.readouterr().out
    assert "fid200-aviarynet1" in table and "body color seen % (shuffled)" in table
    assert "GAN-CLS" in table and "this run, 32 px, 2 steps, 1 seed" in table
    assert main(["table", "--out", str(tmp_path / "table.csv")]) == 0
    assert "fid200-aviarynet1" in (tmp_path / "table.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cub10", "flowers102_64", "coco_small"])
def test_real_photographs_train_sample_and_evaluate(samples, name, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    dataset = {"cub10": "cub", "flowers102_64": "flowers", "coco_small": "coco"}[name]
    command = ["train", "--model", "gan-cls", "--dataset", dataset, "--root", str(samples(name)), *SMALL]
    assert main(command) == 0
    folder = tmp_path / f"gan-cls-{dataset}-smoke-s0"
    assert main(["evaluate", "--run", str(folder)]) == 0
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    assert metrics["fid"] > 0 and "body_accuracy" not in metrics  # the attributes of photographs are not known


def test_doctor_names_folders_and_missing_weights(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert main(["doctor"]) == 0
    report = capsys.readouterr().out
    assert "weights-inception-2015-12-05-6726825d.pth (published FID and IS): absent" in report
    assert "data prepare --dataset cub" in report


def test_an_own_folder_is_prepared_checked_and_trained_on(tmp_path, draw_picture, monkeypatch, capsys):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    lines = ["file,caption,class,split"]
    for k in range(12):
        draw_picture(tmp_path / "photos" / f"{k}.png", 50, 40, seed=k)
        lines.append(f"{k}.png,a picture of kind {k % 3},{k % 3},{'test' if k > 8 else 'train'}")
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    prepare = [
        "data",
        "prepare",
        "--dataset",
        "folder",
        "--images",
        tmp_path / "photos",
        "--captions",
        tmp_path / "captions.csv",
    ]
    assert main([str(a) for a in [*prepare, "--root", tmp_path / "boats"]]) == 0
    assert "12 images" in capsys.readouterr().out
    assert main(["train", "--model", "gan-cls", "--dataset", str(tmp_path / "boats"), *SMALL]) == 0
    assert (tmp_path / "runs" / "gan-cls-folder-boats-smoke-s0" / "checkpoint.pt").exists()


def test_blank_captions_are_refused_and_long_ones_are_cut(run, refused, tmp_path, capsys):
    sentence = refused("sample", "--run", run.directory, " ", "--out", tmp_path / "x.png")
    assert "The caption ' ' is blank. Write at least one word." in sentence
    assert "There is no caption to draw" in refused("sample", "--run", run.directory)
    assert not (tmp_path / "x.png").exists()
    assert (
        main(["sample", "--run", str(run.directory), "word " * 1000, "--count", "1", "--out", str(tmp_path / "x.png")])
        == 0
    )
    assert "note: of the 5,000 characters of a caption, the first 201 are read" in capsys.readouterr().err
    assert main(["sample", "--run", str(run.directory), "a zyxgrub bird ✓", "--out", str(tmp_path / "y.png")]) == 0


def test_a_truncated_jpeg_is_named(little_cub, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    (image, *_) = sorted(little_cub.rglob("*.jpg"))[3:]
    image.write_bytes(image.read_bytes()[:200])
    train = "train", "--model", "gan-cls", "--dataset", "cub", "--root", little_cub, *SMALL
    assert f"{image} cannot be read as an image" in refused(*train) and not list((tmp_path / "runs").rglob("*.pt"))
    assert main(["data", "check", "--dataset", "cub", "--root", str(little_cub)]) == 1


def test_a_greyscale_jpeg_is_no_problem(little_cub, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    image = sorted(little_cub.rglob("*.jpg"))[3]
    Image.open(image).convert("L").save(image)
    assert main(["data", "check", "--dataset", "cub", "--root", str(little_cub)]) == 0
    assert main(["train", "--model", "gan-cls", "--dataset", "cub", "--root", str(little_cub), *SMALL]) == 0


def test_a_missing_caption_file_is_named(little_cub, refused):
    missing = sorted((little_cub / "text").rglob("*.txt"))[4]
    missing.unlink()
    sentence = refused("train", "--model", "gan-cls", "--dataset", "cub", "--root", little_cub, *SMALL)
    assert str(missing) in sentence and "Put" in sentence


def test_a_box_outside_its_image_is_named(little_cub, refused):
    boxes = little_cub / "CUB_200_2011" / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace("5 20.0 10.0 40.0 50.0", "5 900.0 10.0 40.0 50.0"))
    sentence = refused("train", "--model", "gan-cls", "--dataset", "cub", "--root", little_cub, *SMALL)
    assert "900" in sentence and "Bird2_0001" in sentence


def test_a_table_without_its_column_is_named(tmp_path, refused, draw_picture):
    draw_picture(tmp_path / "photos" / "a.png", 20, 20)
    table = tmp_path / "captions.csv"
    table.write_text("name,caption\na.png,a bird\n")
    arguments = "--images", tmp_path / "photos", "--captions", table, "--root", tmp_path / "out"
    sentence = refused("data", "prepare", "--dataset", "folder", *arguments)
    assert str(table) in sentence and "name" in sentence and "file" in sentence
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_alphabet_names_both_sizes(run, refused, tmp_path):
    file = run.directory / "checkpoint.pt"
    state = checkpoint.read(file)
    weights = state["extras"]["text_encoder"]["weights"]
    weights["conv1.weight"] = torch.zeros(32, 71, 4)
    checkpoint.save(file, state)
    before = tree(run.directory)
    sentence = refused("sample", "--run", run.directory, "a bird", "--out", tmp_path / "x.png")
    assert (
        "checkpoint.pt: the text encoder does not fit" in sentence
        and "(32, 71, 4) in the file and (32, 70, 4)" in sentence
    )
    assert tree(run.directory) == before


def test_released_weights_are_imported_and_used(little_aviary, tmp_path, monkeypatch, refused):
    from t2i.text.char_cnn_rnn import CharCnnRnn

    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    file = tmp_path / "char.pth"
    torch.save(CharCnnRnn().state_dict(), file)
    assert main(["import", "char_cnn_rnn_birds_cvpr", str(file)]) == 0
    folder = tmp_path / "runs" / "char_cnn_rnn_birds_cvpr"
    command = ["train", "--model", "gan-cls", "--root", str(little_aviary), "--text-encoder", str(folder), *SMALL]
    assert main(command) == 0
    assert "no kind of checkpoint" in refused("import", "attngan", file)
    assert "does not fit this model" in refused("import", "char_cnn_rnn_birds_icml", file)


@pytest.mark.parametrize("model", configs.MODELS)
def test_every_setting_of_a_model_is_an_option(model, capsys):
    """With its source behind it; a value that is given arrives, and what is not given stays the profile's."""
    config = configs.load(model, "cub", "smoke")
    numbers = {f.name: 3 for f in fields(config) if f.type in (int, float) and f.name != "image_size"}
    given = [part for name in numbers for part in (f"--{name.replace('_', '-')}", "3")]
    task = options.read([model, "--dataset", "cub", "--profile", "smoke", *given])
    assert task == (configs.load(model, "cub", "smoke", **numbers), None, True)
    assert options.read([model, "--dataset", "cub", "--profile", "smoke"]).config == config
    with pytest.raises(SystemExit):
        options.read([model, "--help"])
    said = capsys.readouterr().out
    hidden = ("model", "stage_options")
    assert all(
        f"--{f.name.replace('_', '-')} " in said for f in fields(config) if f.name not in hidden and f.type is not bool
    )
    assert "--no-resume" in said and "--directory" in said


def test_a_model_is_named_first_or_with_its_option(tmp_path):
    given = ["--heads", "6", "--objective=paper", "--kl-weight", "0.5", "--no-resume", "--directory", str(tmp_path)]
    wanted = configs.load("msmt-gan", "coco", "gpu", heads=6, objective="paper", kl_weight=0.5, seed=3), tmp_path, False
    where = ["--dataset", "coco", "--profile", "gpu", "--seed", "3"]
    for first in (["msmt-gan", *where, *given], [*given, *where, "--model", "msmt-gan"]):
        assert options.read(first) == wanted
    assert options.read(["stackgan-stage2", "--stage1", "stackgan-se"]).config.block == "squeeze"
    assert options.read(["attngan", "--refinements", "memory"]).config.refinements == ("memory",)


def test_the_folder_of_a_run_is_handed_on(monkeypatch, run, tmp_path, capsys):
    seen = {}
    monkeypatch.setattr("t2i.training.fit", lambda config, **given: seen.update(given) or run)
    assert main(["train", "gan-cls", "--profile", "smoke", "--directory", str(tmp_path / "mine")]) == 0
    assert seen == {"directory": tmp_path / "mine", "resume": True}


def test_what_train_cannot_read_is_said(refused, capsys):
    assert "train needs the name of a model. python -m t2i train MODEL, which is one of: char-cnn" in refused("train")
    assert "There is no model called 'gan'. Choose one of: char-cnn-rnn, char-cnn-rnn-icml, " in refused("train", "gan")
    sentence = refused("train", "gan-cls", "--heads", 6)
    assert "no setting of gan-cls called 'heads'; it is one of attngan, dm-gan" in sentence
    assert "python -m t2i train gan-cls --help" in sentence
    assert "no setting of gan-cls called 'stray'" in refused("train", "gan-cls", "stray")
    assert "There is no folder /no/birds" in refused("train", "gan-cls", "--dataset", "/no/birds")
    assert "batch_size is 0. Give a whole number from 1 on." in refused("train", "gan-cls", "--batch-size", 0)
    assert main(["train", "gan-cls", "--crop", "tall"]) == 2
    assert "Expected one of ('box', 'whole')" in capsys.readouterr().err
    assert main(["train", "gan-cls", "--batch-size", "six"]) == 2
    assert "Error parsing --batch-size" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    assert "python -m t2i train MODEL --help" in capsys.readouterr().out


def test_no_cuda_is_said(refused, little_aviary, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = refused("train", "--model", "gan-cls", "--root", little_aviary, "--device", "cuda", *SMALL)
    assert "has no CUDA device that torch can use. Leave --device at auto" in sentence


def test_an_unknown_device_is_said(refused, little_aviary):
    sentence = refused("train", "--model", "gan-cls", "--root", little_aviary, "--device", "gpu0", *SMALL)
    assert "no kind of device called 'gpu0'. Choose one of: auto, cpu, cuda, mps." in sentence


def test_a_run_from_another_machine_is_drawn_from_here(run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = json.loads((run.directory / "config.json").read_text())
    (run.directory / "config.json").write_text(json.dumps(settings | {"device": "cuda"}))
    assert main(["sample", "--run", str(run.directory), "a red bird", "--out", str(tmp_path / "birds.png")]) == 0
    assert (tmp_path / "birds.png").exists()


def test_what_cannot_be_drawn_or_written_is_said(run, refused, tmp_path):
    sample = ("sample", "--run", run.directory, "a red bird", "--out")
    assert "--seed -1 is below zero" in refused(*sample, tmp_path / "birds.png", "--seed", -1)
    assert f"{tmp_path} is a folder. Name a file." in refused(*sample, tmp_path)


def test_an_unknown_dataset_and_a_missing_root_are_said(refused, tmp_path):
    assert "no dataset called 'boats'. Choose one of: aviary" in refused(
        "train", "--model", "gan-cls", "--dataset", "boats"
    )
    sentence = refused("train", "--model", "gan-cls", "--dataset", "cub", "--root", tmp_path / "none")
    assert str(tmp_path / "none") in sentence and "data prepare --dataset cub" in sentence


def test_damaged_settings_are_said(run, refused):
    (run.directory / "config.json").write_text("{")
    assert "config.json holds no settings of a run (Expecting" in refused("evaluate", "--run", run.directory)
    for broken in ("{}", "[]"):
        (run.directory / "config.json").write_text(broken)
        assert "config.json holds no settings of a run" in refused("evaluate", "--run", run.directory)


def test_a_run_is_released_and_drawn_by_name(little_aviary, finished, tiny_stages, tmp_path, monkeypatch, capsys):
    run = finished(tiny_stages())
    assert main(["release", str(run.directory), "tiny", "--out", str(tmp_path / "released")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "released" / "tiny")
    monkeypatch.setattr(paths, "released", lambda: tmp_path / "released")
    monkeypatch.setattr(reading, "NAMES", ("tiny",))
    sheet = tmp_path / "sheet.png"
    assert main(["sample", "--run", "released:tiny", "a red bird", "--count", "2", "--out", str(sheet)]) == 0
    assert sheet.exists()
    monkeypatch.setenv("T2I_DATA", str(little_aviary.parent))
    assert main(["evaluate", "--run", "released:tiny", "--metric", "diversity"]) == 0
    assert main(["sample", "--run", "released:large", "a red bird", "--out", str(sheet)]) == 1
    assert "no released model called 'large'. Choose one of those" in capsys.readouterr().err
