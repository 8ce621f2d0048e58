"""What a place refuses, whoever writes there: one sentence with the place and the mend; and nothing is written over."""

import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from t2i import checkpoint, official, paths
from t2i.__main__ import main
from t2i.errors import UserError, refused, unforeseen

WRITERS = {
    "torch": lambda file: torch.save({"a": torch.zeros(400_000)}, file),
    "safetensors": lambda file: save_file({"a": torch.zeros(400_000)}, file),
    "numpy": lambda file: np.zeros(400_000).tofile(file),
    "python": lambda file: file.write_bytes(bytes(1 << 21)),
    "pillow": lambda file: Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 900, 3), "uint8")).save(
        file, format="png"
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_sentence_whoever_writes_and_the_old_file_stays(writer, small_disk):
    file = small_disk(1 << 20) / "x.bin"
    file.write_bytes(b"old")
    with pytest.raises(UserError, match=r"x\.bin cannot be written: its disk is full\. Make room"):
        paths.write_atomically(file, WRITERS[writer])
    assert file.read_bytes() == b"old" and os.listdir(file.parent) == ["x.bin"]


@pytest.mark.parametrize("writer", WRITERS)
def test_each_writer_succeeds_where_there_is_room(writer, tmp_path):
    paths.write_atomically(tmp_path / "x.bin", WRITERS[writer])
    assert (tmp_path / "x.bin").stat().st_size > 1 << 20


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_a_run_on_a_disk_that_fills_up_says_so_and_goes_on_later(room, small_disk, command, said, tmp_path):
    """The disk takes so many checkpoints beside the first, counted in their size; what was saved last is kept."""
    assert main(command(tmp_path / "elsewhere", checkpoint_every=1)) == 0
    size = (tmp_path / "elsewhere" / "checkpoint.pt").stat().st_size
    disk = small_disk(3 * size)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(int((3 - [0.5, 1.5, 1.9, 1.99][room]) * size)))
    sentence = said(*command(disk / "run", checkpoint_every=1))
    assert "its disk is full" in sentence and str(disk) in sentence
    if (disk / "run" / "checkpoint.pt").exists():
        assert checkpoint.read(disk / "run" / "checkpoint.pt")["step"] < 3
    ballast.unlink()
    assert main(command(disk / "run", checkpoint_every=1)) == 0
    assert {p.name for p in (disk / "run").iterdir()} == {p.name for p in (tmp_path / "elsewhere").iterdir()}


def test_every_command_says_that_a_disk_is_read_only(
    read_only, run, command, said, tmp_path, draw_picture, monkeypatch
):
    closed = tmp_path / "closed"
    closed.mkdir()
    draw_picture(tmp_path / "photos" / "a.png", 20, 20)
    (tmp_path / "captions.csv").write_text("file,caption\na.png,a bird\n")
    torch.save(_weights(), tmp_path / "weights.pth")
    first = command(closed / "run")
    read_only(closed)
    prepare = ["data", "prepare", "--dataset", "folder", "--images", tmp_path / "photos"]
    own = [*prepare, "--captions", tmp_path / "captions.csv", "--root", closed / "set"]
    commands = [
        first,
        ["sample", "--run", run, "a bird", "--out", closed / "x.png"],
        ["evaluate", "--run", run, "--metric", "matching", "--json", closed / "x.json"],
        own,
        ["data", "prepare", "--dataset", "aviary", "--root", closed / "aviary"],
    ]
    monkeypatch.setattr(paths, "recorded_results", lambda: closed / "results")
    for arguments in commands:
        sentence = said(*arguments)
        assert str(closed) in sentence and ("read-only" in sentence or "permission" in sentence), sentence
    monkeypatch.setenv("T2I_RUNS", str(closed / "runs"))
    released = "import", "char_cnn_rnn_birds_icml", tmp_path / "weights.pth"
    for arguments in (released, ["course", "--profile", "smoke"]):
        sentence = said(*arguments)
        assert str(closed) in sentence and ("read-only" in sentence or "permission" in sentence), sentence
    assert main(["table"]) == 0 and main(["doctor"]) == 0
    assert not any(closed.iterdir())


def _weights() -> dict:
    own = official.empty("char_cnn_rnn_birds_icml").state_dict()
    layout = official.KINDS["char_cnn_rnn_birds_icml"]
    return {layout.official(key): torch.ones(value.shape) for key, value in own.items()}


def test_paths_that_cannot_be_are_said(run, said, tmp_path):
    (tmp_path / "file").write_text("mine")
    sample = "sample", "--run", run, "a bird", "--out"
    assert "where a folder is needed" in said(*sample, tmp_path / "file" / "x.png")
    assert "its name is too long" in said(*sample, tmp_path / f"{'x' * 300}.png")
    assert "is a folder. Name a file." in said(*sample, tmp_path)
    assert "no file but a device" in said("evaluate", "--run", run, "--metric", "matching", "--json", "/dev/null")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert str(tmp_path / "loop.png") in said(*sample, tmp_path / "loop.png")
    assert "is no run folder" in said("sample", "--run", tmp_path / "file", "a bird")
    aviary = "data", "prepare", "--dataset", "aviary", "--root"
    assert f"{tmp_path / 'file'} is not empty and holds no Aviary" in said(*aviary, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine" and Path("/dev/null").is_char_device()
    long = tmp_path / f"{'x' * 250}.png"  # as long as the disk allows
    assert main(["sample", "--run", str(run), "a bird", "--out", str(long)]) == 0 and long.exists()


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "far" / "real.json")
    paths.write_json(tmp_path / "link.json", {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "far" / "real.json").read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), "/a/b cannot be used: the quota of its disk is used up"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b cannot be used: this account has no permis"),
        (OSError(errno.EIO, "Input/output error", "/a/b"), "its disk failed. Check the disk"),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), "too many files open. Raise the limit: ulimit"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 6 vs 5"), "its disk is full"),
        (RuntimeError("Could not determine home directory."), "has no home folder. Set HOME"),
        (MemoryError(), "The memory is not enough (MemoryError). Lower --batch-size"),
        (torch.OutOfMemoryError("CUDA out of memory."), "The memory is not enough (CUDA out of memory.). Lower"),
        (ModuleNotFoundError("No module named 'papermill'", name="papermill"), "papermill is not installed. In the"),
        (ConnectionRefusedError(111, "Connection refused"), "This machine: Connection refused"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_machine_refuses_has_a_sentence(error, words, said, monkeypatch):
    def refuse():
        raise error

    monkeypatch.setattr("t2i.doctor.report", refuse)
    assert words in said("doctor")


def test_a_failed_compilation_is_said(said, monkeypatch):
    import torch._dynamo.exc

    def refuse():
        raise torch._dynamo.exc.BackendCompilerFailed(lambda: None, RuntimeError("g++ found no Python.h"), None)

    monkeypatch.setattr("t2i.doctor.report", refuse)
    assert "torch.compile failed here" in (sentence := said("doctor")) and "Leave --compile out" in sentence


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def wrong():
        try:
            Path("/nowhere/at/all").read_text()
        except OSError:
            {}["a fault"]

    monkeypatch.setattr("t2i.doctor.report", wrong)
    with pytest.raises(KeyError, match="a fault"):
        main(["doctor"])
    assert refused(KeyError("x")) is None and unforeseen(ZeroDivisionError()) is None


def shell(arguments: str, **environment) -> subprocess.CompletedProcess:
    """A command line of its own in a shell, with warnings as errors."""
    env = os.environ | {"PYTHONWARNINGS": "error"} | environment
    line = f"set -o pipefail; {sys.executable} -m t2i {arguments}"
    return subprocess.run(["bash", "-c", line], capture_output=True, env=env, cwd=paths.checkout())


@pytest.mark.slow
def test_narrow_consoles_closed_pipes_and_full_outputs_are_no_errors(run):
    draw = f"sample --run {run} 'птица → bird' --out /nowhere/птица.txt"
    narrow = shell(draw, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert narrow.returncode == 1 and narrow.stderr.startswith(b"error: ") and b"Traceback" not in narrow.stderr
    closed = shell("--help | head -0")
    assert closed.returncode in (0, 141) and closed.stderr == b""
    full = shell("--help > /dev/full") if Path("/dev/full").exists() else None
    assert full is None or (full.returncode == 1 and full.stderr.count(b"\n") == 1 and b"disk is full" in full.stderr)


def test_what_a_narrow_console_lacks_is_shown_by_its_number(monkeypatch):
    import io

    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    monkeypatch.setattr("t2i.doctor.report", lambda: "птица → 😀 \udce9")
    assert main(["doctor"]) == 0
    assert narrow.buffer.getvalue().startswith(b"\\u043f") and narrow.buffer.getvalue().rstrip().endswith(b"\\udce9")


def test_ctrl_c_is_status_130_and_a_word(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("t2i.doctor.report", stop)
    assert main(["doctor"]) == 130 and capsys.readouterr().err == "Stopped.\n"


def test_without_a_home_and_in_a_folder_that_is_gone(run, said, tmp_path, monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "expanduser", homeless)
        assert "has no home folder. Set HOME, or write the whole path." in said("sample", "--run", "~/run", "a bird")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "there is no such file or folder" in said("sample", "--run", "x", "a bird")


FORMATS = {".png": "PNG", ".PNG": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_is_written_in_the_format_of_its_name_and_may_be_drawn_again(suffix, run, tmp_path):
    file = tmp_path / f"birds{suffix}"
    for count in (1, 2):
        assert main(["sample", "--run", str(run), "a bird", "--count", str(count), "--out", str(file)]) == 0
        with Image.open(file) as picture:
            assert (picture.format, picture.size) == (FORMATS[suffix], (count * 34 - 2, 32))


@pytest.mark.parametrize("name", ["birds.txt", "birds", "birds.mp4", "birds.ico", "birds.pgm", "birds.npz"])
def test_a_name_that_promises_no_picture_is_refused_before_anything_is_drawn(name, run, said, tmp_path, monkeypatch):
    monkeypatch.setattr("t2i.training.Run.sample", lambda *_: pytest.fail("was drawn"))
    assert "Choose one of: .apng, " in said("sample", "--run", run, "a bird", "--out", tmp_path / name)
    sentence = said("sample", "--run", run, "a bird", "--out", tmp_path / "x.webp", "--count", "1000")
    assert "WEBP has no room for a picture of 33,998 × 32 px" in sentence


def test_nothing_of_the_users_is_written_over(run, said, tmp_path, draw_picture, monkeypatch):
    photo = draw_picture(tmp_path / "photo.png", 20, 20)
    (tmp_path / "notes.png").write_text("notes")
    (tmp_path / "settings.json").write_text('{"mine": 1}')
    (tmp_path / "figures.csv").write_text("a,b")
    torch.save(_weights(), tmp_path / "weights.pth")
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "mine"))
    kind = "char_cnn_rnn_birds_icml"
    for name in (kind, "project"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "config.json").write_text('{"mine": 1}')
    monkeypatch.setattr(paths, "recorded_results", lambda: tmp_path / "mine")
    (tmp_path / "mine" / "gan-cls-aviary-smoke-s0").mkdir()
    (tmp_path / "mine" / "gan-cls-aviary-smoke-s0" / "result.json").write_text("[]")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    drawn = "sample", "--run", run, "a bird", "--out"
    measured = "evaluate", "--run", run, "--metric", "matching", "--json"
    assert "was not drawn by this program. Name another file" in said(*drawn, photo)
    assert "was not drawn by this program. Name another file" in said(*drawn, tmp_path / "notes.png")
    assert "holds no record of an evaluation. Name another file" in said(*measured, tmp_path / "settings.json")
    assert "ends in .csv, and a record is JSON" in said(*measured, tmp_path / "figures.csv")
    assert "of no run of this program (config.json)" in said("import", kind, tmp_path / "weights.pth")
    own = "train", "gan-cls", "--profile", "smoke", "--directory", tmp_path / "mine" / "project"
    assert "of no run of this program (config.json)" in said(*own)
    assert "of no run of this program (result.json)" in said("record", "gan-cls", "--profile", "smoke", "--seeds", "0")
    follow = "follow", "gan-cls", "--profile", "smoke", "--seeds", "0", "--steps", "2", "--points", "1"
    assert "of no run of this program (result.json)" in said(*follow)
    after = {file: file.read_bytes() for file in before}
    assert after == before


def test_what_the_program_wrote_may_be_written_again(run, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "mine"))
    torch.save(_weights(), tmp_path / "weights.pth")
    kind = "char_cnn_rnn_birds_icml"
    for _ in range(2):
        assert main(["evaluate", "--run", str(run), "--metric", "matching", "--json", str(tmp_path / "x.json")]) == 0
        assert main(["import", kind, str(tmp_path / "weights.pth")]) == 0
    assert sorted(file.name for file in (tmp_path / "mine" / kind).iterdir()) == ["checkpoint.pt", "config.json"]


def test_an_import_never_replaces_what_was_trained_there(said, tmp_path, run, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    run.rename(tmp_path / "mine" / "char_cnn_rnn_birds_icml")
    assert "holds a run that was trained here" in said("import", "char_cnn_rnn_birds_icml", tmp_path / "x.pth")


def test_warnings_that_are_errors_change_nothing(run, tmp_path):
    with warnings.catch_warnings(action="error"):
        assert main(["sample", "--run", str(run), "a bird", "--out", str(tmp_path / "x.png")]) == 0
