"""Faults under fire: all tests here are marked ``faults``; the little data sets and runs are the unit tests' own."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from t2i import config as configs
from t2i import paths

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("little", paths.checkout() / "tests" / "unit" / "conftest.py")
_little = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_little)
little_aviary, encoder_folder, draw_picture = _little.little_aviary, _little.encoder_folder, _little.draw_picture
without_classes, trained, finished, tiny = _little.without_classes, _little.trained, _little.finished, _little.tiny


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def boats(without_classes, encoder_folder, tmp_path, monkeypatch):
    """``boats(**overrides)`` is a GAN-CLS of three steps on twelve pictures, in a folder of the test's own."""
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    small = _little.TINY | {"steps": 3, "batch_size": 4, "text_encoder": str(encoder_folder)}
    return lambda **overrides: configs.load("gan-cls", str(without_classes), "smoke", **small | overrides)


@pytest.fixture
def command(boats):
    """``command(directory, *more, **overrides)`` is the command line that trains ``boats(**overrides)`` there."""

    def arguments(directory: Path, *more: str, **overrides) -> list[str]:
        config = boats(**overrides)
        given = {name: getattr(config, name) for name in (*_little.TINY, *overrides, "text_encoder")}
        options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        place = ["--dataset", config.root, "--profile", "smoke", "--directory", str(directory)]
        return ["train", "gan-cls", *place, *options, *more]

    return arguments


@pytest.fixture
def run(boats):
    """The folder of a finished run."""
    from t2i.training import fit

    return fit(boats(steps=1)).directory


@pytest.fixture
def said(capfd):
    """``said(*arguments)`` is what a command that must fail with status 1 says: one line on stderr, no traceback."""
    from t2i.__main__ import main

    def call(*arguments) -> str:
        capfd.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        lines = capfd.readouterr().err.strip().splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert not any("Traceback" in line or "Warning" in line for line in lines)
        return lines[-1]

    return call


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk(size)`` is a folder with a disk of its own, of so many bytes; the test is skipped, saying why, where
    this account may not mount one."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    if not Path("/bin/mount").exists():
        pytest.skip("no small disk can be made here: there is no mount")
    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only():
    """``read_only(folder)`` makes a folder one that takes no files, by mounting it anew, or by its permissions."""
    mounted, closed = [], []

    def close(folder: Path) -> Path:
        if os.geteuid() == 0:
            for options in (["--bind"], ["-o", "remount,ro,bind"]):
                done = subprocess.run(["mount", *options, str(folder), str(folder)], capture_output=True, text=True)
                if done.returncode:
                    pytest.skip(f"no folder can be made read-only here: {done.stderr.strip()}")
                mounted.append(folder) if options == ["--bind"] else None
        else:
            folder.chmod(0o555)
            closed.append(folder)
        return folder

    yield close
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    for folder in closed:
        folder.chmod(0o755)
