"""Two processes at one run, one cache, one Aviary; what dead ones leave; a clock that goes backwards."""

import json
import multiprocessing
import os
import platform
import time

import pytest
import writers
from states import differing, ended

from t2i import config as configs
from t2i import log, paths, results
from t2i.__main__ import main
from t2i.errors import UserError
from t2i.training import fit

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["t2i.training"])


@pytest.fixture
def start():
    """``start(function, *arguments)`` runs it in another process, which gets the end of a channel as well."""
    running = []

    def begin(function, *arguments):
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=function, args=(*arguments, theirs))
        process.start()
        theirs.close()
        running.append(process)
        return process, ours

    yield begin
    for process in running:
        process.kill()
        process.join()


def test_a_second_training_of_a_run_is_refused_by_name_and_the_first_goes_on(start, boats, command, said, tmp_path):
    config, folder = boats(), tmp_path / "run"
    whole = ended(fit(config))
    _, channel = start(writers.train, config.to_dict(), folder)
    process = channel.recv()
    for more in ([], ["--no-resume"]):
        sentence = said(*command(folder, *more))
        assert f"{folder} is being written by process {process} on {platform.node()}, since 20" in sentence
        assert "Wait until that has ended" in sentence
    channel.send("on")
    assert channel.recv() == "done"
    assert differing(whole, ended(fit(config, directory=folder))) == []
    assert not [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_the_lock_and_the_leftovers_of_a_dead_process_are_taken_over(start, boats, tmp_path):
    folder = tmp_path / "run"
    process, channel = start(writers.hold, folder)
    assert channel.recv() == process.pid
    assert len(list(folder.glob(".t2i-*.tmp"))) == 1 and (folder / ".lock").exists()
    paths.sweep(folder)
    assert len(list(folder.glob(".t2i-*.tmp"))) == 1, "swept while it was being written"
    process.kill()
    process.join()
    fit(boats(steps=1), directory=folder)
    assert {file.name for file in folder.iterdir()} == {"checkpoint.pt", "config.json", "samples", "stats.jsonl"}


def test_any_later_write_sweeps_what_a_killed_one_left(start, tmp_path):
    process, channel = start(writers.hold, tmp_path)
    channel.recv()
    process.kill()
    process.join()
    (tmp_path / ".t2i-notes.txt").write_text("no leftover")
    paths.write_json(tmp_path / "other.json", {})
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", ".t2i-notes.txt", ".writer", "other.json"]


def test_a_run_that_is_whole_is_read_while_another_process_writes_there(start, boats, tmp_path):
    config = boats(steps=1)
    directory = fit(config).directory
    _, channel = start(writers.hold, directory)
    channel.recv()
    assert fit(config).state["finished"]
    with pytest.raises(UserError, match="is being written by process"):
        fit(config, resume=False)


def test_two_that_draw_one_aviary_get_the_same_whole_one(start, tmp_path):
    channels = [start(writers.draw, tmp_path / "aviary")[1] for _ in range(2)]
    for channel in channels:
        channel.send("go")
    first, second = (channel.recv() for channel in channels)
    assert first == second and len(first) > 160
    assert [file.name for file in tmp_path.iterdir()] == ["aviary"]


def test_two_that_build_one_cache_get_the_same_whole_one(start, without_classes, tmp_path):
    channels = [start(writers.cache, without_classes, tmp_path / "data")[1] for _ in range(2)]
    for channel in channels:
        channel.send("go")
    first, second = (channel.recv() for channel in channels)
    assert first == second and len(first) == 12
    assert sorted(file.suffix for file in (tmp_path / "data" / "cache").iterdir()) == [".json", ".uint8"]


def test_a_clock_that_jumps_back_changes_nothing(boats, monkeypatch):
    """Of the wall clock nothing depends but dates; a run goes on to the same bits, and its files may be younger than
    the files they came from."""
    config = boats()
    whole = ended(fit(config))
    fit(boats(steps=2), resume=False)
    for file in config.directory.rglob("*"):
        os.utime(file, (time.time() + 10**6,) * 2)
    for name in ("time", "time_ns"):
        back = getattr(time, name)() // 2
        monkeypatch.setattr(time, name, lambda back=back: back)
    run = fit(config)
    assert differing(whole, ended(run)) == [] and run.state["seconds"] >= 0
    assert log.read(config.directory / "stats.jsonl")["step"].is_monotonic_increasing


def test_figures_and_pictures_of_an_earlier_model_go_with_it(boats):
    directory = fit(boats()).directory
    assert main(["evaluate", "--run", str(directory), "--metric", "matching"]) == 0
    assert (directory / "result.json").exists() and (directory / "samples" / "step_0000003.png").exists()
    fit(boats(steps=1), resume=False)
    assert [file.name for file in (directory / "samples").iterdir()] == ["step_0000001.png"]
    assert not (directory / "result.json").exists()
    assert log.read(directory / "stats.jsonl")["step"].tolist() == [1]


def test_moved_data_are_measured_where_they_lie_and_others_are_refused(boats, command, said, without_classes, tmp_path):
    directory = fit(boats(steps=1)).directory
    there = command(directory, steps=1)
    without_classes.rename(tmp_path / "moved")
    measure = "evaluate", "--run", directory, "--metric", "matching"
    sentence = said(*measure)
    assert f"There is no folder {without_classes}, where" in sentence and "with --root." in sentence
    assert main([*map(str, measure), "--root", str(tmp_path / "moved")]) == 0
    assert json.loads((directory / "config.json").read_text())["root"] == str(without_classes)
    there[there.index("--dataset") + 1] = str(tmp_path / "moved")
    assert main(there) == 0
    table = tmp_path / "moved" / "dataset.csv"
    table.write_text(table.read_text().replace("number", "colour"))
    sentence = said(*measure, "--root", tmp_path / "moved")
    assert "holds a run on other data (" in sentence and "--no-resume" in sentence


def test_new_captions_are_never_read_with_an_old_vocabulary_in_silence(without_classes, said, tmp_path, monkeypatch):
    """The encoder that a GAN finds by itself is refused when its data have changed; one that is named is read, with a
    note of the words that it does not know."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    folder = fit(configs.load("damsm", str(without_classes), "smoke")).directory
    table = without_classes / "dataset.csv"
    table.write_text(table.read_text().replace("picture", "zeppelin"))
    train = "train", "attngan", "--dataset", without_classes, "--profile", "smoke", "--steps", "1", "--batch-size", "4"
    sentence = said(*train)
    assert f"{folder} holds a run on other data" in sentence and "train damsm --dataset" in sentence
    notes = []
    monkeypatch.setattr("t2i.training.obtain.tqdm.write", notes.append)
    assert main([*map(str, train), "--text-encoder", str(folder)]) == 0
    said_so = " ".join(notes)
    assert "reads with an encoder that learned from other data" in said_so and "zeppelin" in said_so


def test_own_folders_are_marked_so_that_none_is_taken_for_a_published_set(tmp_path):
    (tmp_path / "cub").mkdir()
    config = configs.load("gan-cls", f"{tmp_path}/cub", "smoke")
    assert config.name == "gan-cls-folder-cub-smoke-s0"
    assert results.figures(f"{tmp_path}/cub").empty and len(results.figures("cub"))
