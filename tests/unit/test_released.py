"""Released models: what they keep, that float16 costs nothing, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from t2i import paths, released
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.training import Run
from t2i.training import released as reading

CAPTIONS = ["a red bird with a white belly", "a blue bird"]


MADE = {}


@pytest.fixture
def made(finished, tiny, tiny_stack, tiny_stages, tmp_path_factory):
    """``made(model)`` is a trained run, and the folder of the released model that was made of it once for all tests."""
    families = {"gan-cls": tiny, "stackgan-stage2": tiny_stack}

    def pair(model="attngan"):
        run = finished(families.get(model, tiny_stages)(model))
        if model not in MADE:
            MADE[model] = released.release(run, "tiny", tmp_path_factory.mktemp("released"))
        return run, MADE[model]

    return pair


@pytest.fixture
def pair(made):
    return made()


@pytest.mark.parametrize("model", ["attngan", "gan-cls", "stackgan-stage2"])
def test_a_released_model_draws_what_its_run_draws(made, model):
    run, folder = made(model)
    mine, theirs = (each.sample(CAPTIONS, count=2).int() for each in (released.read(folder), run))
    assert (mine - theirs).abs().max() <= 2  # of 255


def test_its_folder_says_what_it_is(pair):
    run, folder = pair
    names = {file.name for file in folder.iterdir()}
    assert names == {"weights.safetensors", "config.json", "result.json", "stats.jsonl", "sheet.png", "README.md"}
    record = json.loads((folder / "result.json").read_text())
    assert record["steps"] == run.state["step"] and record["train_seconds"] == run.state["seconds"]
    assert json.loads((folder / "config.json").read_text())["root"] is None
    card = (folder / "README.md").read_text()
    assert f"{record['steps']:,} steps" in card and record["commit"][:12] in card


def test_matrices_are_halved_and_vectors_are_not(pair):
    for path, tensor in load_file(pair[1] / released.WEIGHTS).items():
        if tensor.is_floating_point():
            assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else torch.float32), path


def test_nothing_is_written_beside_it(pair, monkeypatch):
    run, folder = pair
    monkeypatch.setenv("T2I_DATA", str(Path(run.config.root).parent))  # where the data set lies by default
    before = (folder / "result.json").read_bytes()
    evaluate(released.read(folder), ["diversity"])
    assert (folder / "result.json").read_bytes() == before


def test_a_name_or_a_folder(pair, monkeypatch):
    run, folder = pair
    monkeypatch.setattr(paths, "released", lambda: folder.parent)
    monkeypatch.setattr(reading, "NAMES", ("tiny",))
    assert released.run("released:tiny").is_released and not released.run(run.directory).is_released
    with pytest.raises(UserError, match=r"no released model called 'huge'.*tiny"):
        released.run("released:huge")


def test_it_stands_beside_a_run_on_drawn_birds(pair, monkeypatch):
    run, folder = pair
    monkeypatch.setattr(paths, "released", lambda: folder.parent)
    assert released.beside(run, "tiny") is run  # that name does not come with this checkout
    monkeypatch.setattr(reading, "NAMES", ("tiny",))
    assert released.beside(run, "tiny").is_released
    photographs = Run(replace(run.config, dataset="flowers"), run.state, run.directory)
    assert released.beside(photographs, "tiny") is photographs
    monkeypatch.setattr(reading, "load", lambda name: photographs)
    assert released.beside(run, "tiny") is run
    assert released.beside(Run(photographs.config, run.state, run.directory), "tiny") is photographs


def test_what_cannot_be_released(pair, damsm_folder, tmp_path, monkeypatch):
    run, _ = pair
    with pytest.raises(UserError, match="holds an encoder"):
        released.release(Run.load(damsm_folder), "damsm", tmp_path)
    stopped = Run(run.config, run.state | {"finished": False}, run.directory)
    with pytest.raises(UserError, match="before its end"):
        released.release(stopped, "half", tmp_path)
    weights = {name: torch.full_like(value, 1e6) for name, value in run.state["average"].items()}
    with pytest.raises(UserError, match="beyond the range of float16"):
        released.release(Run(run.config, run.state | {"average": weights}, run.directory), "large", tmp_path)
    monkeypatch.setattr(released, "LIMIT", 0.001)
    with pytest.raises(UserError, match=r"MB, and 0\.001 are allowed"):
        released.release(run, "wide", tmp_path)
    assert not any(tmp_path.glob("*/weights.safetensors"))


def test_what_only_training_needs_is_left_out(pair):
    run, folder = pair
    assert run.state["networks"]["discriminators"]
    kept = {json.loads(path)[0] for path in load_file(folder / released.WEIGHTS)}
    assert kept == {"average", "extras"}


def test_a_released_model_is_measured_anew(pair, tmp_path, monkeypatch):
    run, folder = pair
    monkeypatch.setenv("T2I_DATA", str(Path(run.config.root).parent))
    again = released.release(released.read(folder), "tiny", tmp_path)
    first, second = (load_file(each / released.WEIGHTS) for each in (folder, again))
    assert first.keys() == second.keys() and all(torch.equal(first[path], second[path]) for path in first)
    older, newer = (json.loads((each / "result.json").read_text())["metrics"] for each in (folder, again))
    assert newer == pytest.approx(older)
    assert (again / "stats.jsonl").read_bytes() == (folder / "stats.jsonl").read_bytes()


def test_what_another_model_has_is_read_from_there(pair, tmp_path, monkeypatch):
    run, folder = pair
    monkeypatch.setattr(paths, "released", lambda: folder.parent)
    for module in (reading, released):
        monkeypatch.setattr(module, "NAMES", ("tiny",))
    monkeypatch.setenv("T2I_DATA", str(Path(run.config.root).parent))
    tiny = released.load("tiny")
    weights = {path: value + 1 for path, value in tiny.state["average"].items()}
    borrower = Run(tiny.config, tiny.state | {"average": weights}, run.directory)
    made = released.release(borrower, "borrower", tmp_path)
    kept = load_file(made / released.WEIGHTS)
    assert max(tensor.numel() for path, tensor in kept.items() if json.loads(path)[0] == "extras") < released.SHARED
    assert borrower.state["extras"]["text_encoder"]["image"]  # what was released is left whole
    again = released.read(made)
    assert again.encoders.digest == tiny.encoders.digest
    assert all(torch.equal(value.half(), weights[path].half()) for path, value in again.state["average"].items())

    shutil.copytree(made, folder.parent / "borrower")
    monkeypatch.setattr(released, "NAMES", ("borrower", "tiny"))
    before = (folder / released.WEIGHTS).read_bytes()
    released.release(borrower, "borrower")  # measured anew, it lends to nobody
    extras = tiny.state["extras"] | {"text_encoder": run.state["extras"]["text_encoder"]}
    encoder = extras["text_encoder"]["weights"]
    extras["text_encoder"] |= {"weights": {path: value + 1 for path, value in encoder.items()}}
    with pytest.raises(UserError, match=r"borrower reads weights from tiny, and this run has others\. Choose another"):
        released.release(Run(tiny.config, tiny.state | {"extras": extras}, run.directory), "tiny")
    assert (folder / released.WEIGHTS).read_bytes() == before
    shutil.rmtree(folder.parent / "borrower")


def test_what_only_trained_a_text_encoder_is_left_out(made):
    run, folder = made("gan-cls")
    assert run.state["extras"]["text_encoder"]["image"]
    assert not any('"image"' in path and "text_encoder" in path for path in load_file(folder / released.WEIGHTS))
    assert released.read(folder).encode(CAPTIONS).shape == run.encode(CAPTIONS).shape


def test_a_folder_of_the_users_own_is_left_alone(pair, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match=r"holds files that are of no run of this program \(letters\.txt\)"):
        released.release(pair[0], "mine", tmp_path)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letters.txt"]


def test_a_damaged_file_is_named(pair, tmp_path):
    (tmp_path / released.WEIGHTS).write_bytes((pair[1] / released.WEIGHTS).read_bytes()[:1000])
    with pytest.raises(UserError, match=r"weights\.safetensors cannot be read.*git checkout"):
        released.read(tmp_path)


@pytest.mark.parametrize("name", released.NAMES)
def test_every_model_of_the_course_draws(name):
    model = released.load(name)
    pictures = model.sample(["a yellow bird with black wings and a red crown"], count=8).float()
    assert (pictures[0] - pictures[1]).abs().mean() > 1  # of 255: another noise is another bird
    record = json.loads((paths.released() / name / "result.json").read_text())
    assert record["model"] == model.config.model and not record["commit"].endswith("+dirty")


def test_all_of_them_fit_the_repository():
    files = [file for file in paths.released().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 45e6
