import json
import os
import shutil
import signal

import pytest
import torch
from states import differing, ended

from t2i import checkpoint, data, log
from t2i.errors import UserError
from t2i.training import Run, fit
from t2i.training.gan import GanCls


def interrupt_at(step, monkeypatch, act):
    """Let ``act`` happen inside training step ``step``."""
    original = GanCls.train_step

    def train_step(self, batch, number):
        found = original(self, batch, number)
        return act(found) if number == step else found

    monkeypatch.setattr(GanCls, "train_step", train_step)


def test_a_run_leaves_its_files_and_can_be_loaded(tiny):
    run = fit(tiny())
    names = {str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.is_file()}
    assert names == {"config.json", "stats.jsonl", "checkpoint.pt", "samples/step_0000008.png"}
    assert run.state["step"] == 8 and run.state["finished"]
    again = Run.load(run.directory)
    assert again.config == run.config
    captions = ["a red bird", "a blue bird with a long tail"]
    assert torch.equal(again.sample(captions, count=3), run.sample(captions, count=3))
    assert again.sample(captions, count=3).shape == (6, 3, 32, 32)


@pytest.mark.parametrize("model", ["gan-cls", "gan-cls-int"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tiny, model):
    first = ended(fit(tiny(model)))
    assert differing(first, ended(fit(tiny(model), resume=False))) == []
    assert differing(first, ended(fit(tiny(model, seed=1))))


def test_a_finished_run_is_loaded_and_not_trained_again(finished, tiny, monkeypatch):
    run = finished(tiny())
    monkeypatch.setattr(GanCls, "train_step", lambda *_: pytest.fail("trained again"))
    assert differing(ended(run), ended(fit(tiny()))) == []


def test_a_finished_run_of_epochs_is_loaded_without_its_data(tiny, little_aviary, tmp_path, monkeypatch):
    config = tiny(steps=0, epochs=1, root=str(shutil.copytree(little_aviary, tmp_path / "birds")))
    fit(config)
    shutil.rmtree(config.root)
    monkeypatch.setattr(data, "read", lambda *_: pytest.fail("read the data"))
    assert fit(config).state["finished"]


def test_a_finished_run_is_not_taken_for_one_of_changed_data(tiny, little_aviary, tmp_path):
    config = tiny(steps=1, root=str(shutil.copytree(little_aviary, tmp_path / "birds")))
    fit(config)
    caption = sorted((tmp_path / "birds" / "text").rglob("*.txt"))[0]
    caption.write_text(caption.read_text().replace("bird", "boat"))
    with pytest.raises(UserError, match=r"holds a run on other data \(.* there and .* here\).*gan-cls .*--no-resume"):
        fit(config)
    moved = tmp_path / "moved"
    shutil.copytree(little_aviary, moved)
    assert fit(tiny(steps=1, root=str(moved))).state["finished"]


def test_a_stopped_run_is_not_cut_short(finished, tiny):
    file = finished(tiny(steps=4)).directory / "checkpoint.pt"
    checkpoint.save(file, checkpoint.read(file) | {"finished": False})
    with pytest.raises(UserError, match=r"is at step 4 already, past the 2 that are asked for\. Ask for more --steps"):
        fit(tiny(steps=2))


def test_a_new_start_drops_the_figures_of_the_run_that_it_replaces(finished, tiny):
    run = finished(tiny())
    for name in ("result.json", "result-other.json", "curve.json"):
        (run.directory / name).write_text("{}")
    fit(tiny())
    assert (run.directory / "result.json").exists()
    fit(tiny(), resume=False)
    assert not list(run.directory.glob("result*.json")) and not (run.directory / "curve.json").exists()


@pytest.mark.parametrize("model", ["gan-cls", "gan-cls-int"])
def test_a_batch_may_be_odd_but_not_one(tiny, model):
    assert fit(tiny(model, batch_size=7, steps=1)).state["step"] == 1
    with pytest.raises(UserError, match=r"needs at least two images in every process.*--batch-size of 2 or more"):
        fit(tiny(model, batch_size=1), resume=False)


def test_more_steps_continue_a_finished_run(finished, tiny):
    whole = ended(finished(tiny()))
    fit(tiny(steps=4), resume=False)
    assert differing(whole, ended(fit(tiny()))) == []


def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_bits(finished, tiny, monkeypatch):
    whole = ended(finished(tiny()))
    with monkeypatch.context() as patch:
        interrupt_at(2, patch, lambda found: (os.kill(os.getpid(), signal.SIGINT), found)[1])
        with pytest.raises(KeyboardInterrupt, match="stopped after step 3 of 8; the same command goes on"):
            fit(tiny(), resume=False)
    config = tiny()
    assert checkpoint.read(config.directory / "checkpoint.pt")["step"] == 3
    assert differing(whole, ended(fit(config))) == []
    steps = log.read(config.directory / "stats.jsonl")["step"].tolist()
    assert steps == sorted(set(steps)) and steps[-1] == 8


def test_a_nan_stops_with_a_sentence_and_keeps_the_last_good_state(tiny, monkeypatch):
    interrupt_at(5, monkeypatch, lambda found: found | {"g_loss": torch.tensor(float("nan"))})
    config = tiny()
    with pytest.raises(
        UserError, match=r"g_loss became nan by step 6; the last good state, step 4, .*checkpoint\.pt\. Lower"
    ):
        fit(config)
    kept = checkpoint.read(config.directory / "checkpoint.pt")
    assert kept["step"] == 4
    assert all(torch.isfinite(p).all() for p in kept["networks"]["generator"].values())


def test_a_weight_that_is_no_number_is_never_saved(finished, tiny, monkeypatch):
    def poison(recipe, name, loss):
        recipe.networks[name].get_parameter("image.0.weight" if name == "generator" else "0.image.0.weight").data.fill_(
            float("nan")
        )

    config = tiny()
    finished(tiny(steps=4))
    monkeypatch.setattr(GanCls, "update", poison)
    monkeypatch.setattr(
        GanCls, "train_step", lambda self, *_: self.update("generator", None) or {"g_loss": torch.tensor(1.0)}
    )
    with pytest.raises(UserError, match="a weight is no longer a finite number by step 8"):
        fit(config)
    assert checkpoint.read(config.directory / "checkpoint.pt")["step"] == 4


def test_a_folder_with_other_settings_is_not_touched(finished, tiny):
    finished(tiny())
    before = (tiny().directory / "checkpoint.pt").read_bytes()
    with pytest.raises(UserError, match=r"holds a run with other settings \(batch_size 8 there and 4 here\).*--seed"):
        fit(tiny(batch_size=4))
    assert (tiny().directory / "checkpoint.pt").read_bytes() == before


def test_a_run_from_before_a_setting_was_added_goes_on(finished, tiny_stages):
    whole = ended(finished(tiny_stages(steps=3)))
    directory = fit(tiny_stages(steps=1), resume=False).directory
    state = checkpoint.read(directory / "checkpoint.pt")
    del state["config"]["kl_weight"]
    checkpoint.save(directory / "checkpoint.pt", state)
    with pytest.raises(UserError, match=r"holds a run with other settings \(kl_weight 1\.0 there and 2\.0 here\)"):
        fit(tiny_stages(steps=3, kl_weight=2.0))
    run = fit(tiny_stages(steps=3))
    assert run.state["config"]["kl_weight"] == 1.0 and differing(whole, ended(run)) == []


def test_a_checkpoint_cut_in_half_is_named_and_kept(finished, tiny):
    config = tiny()
    file = finished(config).directory / "checkpoint.pt"
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    for use in (lambda: fit(config), lambda: Run.load(config.directory)):
        with pytest.raises(
            UserError, match=r"checkpoint\.pt cannot be read as a checkpoint: it is cut short.*Delete it"
        ):
            use()
    assert file.read_bytes() == half


def test_a_checkpoint_that_would_run_code_is_refused(finished, tiny, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    file = finished(tiny()).directory / "checkpoint.pt"
    torch.save({"format": 1, "state": Harm()}, file)
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read"):
        Run.load(file.parent)
    assert not (tmp_path / "harm").exists()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="is no run folder: it has no config"):
        Run.load(tmp_path)


def test_the_log_ends_where_the_checkpoint_does(tmp_path):
    file = tmp_path / "stats.jsonl"
    file.write_text('{"step": 2, "loss": 1}\n{"step": 4, "loss": 2}\n{"step": 6, "lo')
    log.Log(file, step=2).write(step=3, loss=5)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [2, 3]


def test_an_encoder_cannot_draw(encoder_folder):
    with pytest.raises(UserError, match="holds a text encoder, which draws nothing"):
        Run.load(encoder_folder).sample(["a bird"])
