"""The package as it is installed: what a wheel carries, that it works without a checkout, and what it calls itself."""

import doctest
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

import t2i
from t2i import paths, released

ROOT = paths.checkout()
PROGRAM = """
import t2i
from t2i import paths, results
print(t2i.__file__, paths.released(), *t2i.released.NAMES, sep="\\n")
assert len(results.published()) > 100 and len(results.collect()) > 10
assert t2i.released.load("attngan-aviary").sample(["a red bird"]).shape == (1, 3, 32, 32)
"""


def test_the_example_of_the_package_is_true():
    found = doctest.testmod(t2i, raise_on_error=True)
    assert found.attempted >= 3 and not found.failed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder into which a wheel of this checkout was unpacked."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    for name in ("t2i", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "downloads"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(made)]
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = made.glob("*.whl")
    assert file.name.startswith(f"t2i-{t2i.__version__}-") and file.stat().st_size < 60e6
    zipfile.ZipFile(file).extractall(made / "site")
    return made / "site"


@pytest.mark.slow
def test_a_wheel_needs_no_checkout(wheel, tmp_path):
    assert not (wheel / "notebooks").exists()
    environment = os.environ | {"PYTHONPATH": str(wheel), "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    environment = {name: value for name, value in environment.items() if name not in ("T2I_RUNS", "T2I_DATA")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    where, models, *names = done.stdout.splitlines()
    assert where == str(wheel / "t2i" / "__init__.py") and models == str(wheel / "t2i" / "_data" / "released")
    assert names == list(released.NAMES)


def test_what_is_written_without_a_checkout_lies_in_the_home_folder(monkeypatch, tmp_path):
    for name in ("T2I_RUNS", "T2I_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert paths.runs_root() == ROOT / "runs" and paths.data_root() == ROOT / "data" / "downloads"
    monkeypatch.setattr(paths, "_CARRIED", tmp_path)
    monkeypatch.setattr(paths.Path, "home", lambda: tmp_path / "home")
    assert paths.runs_root() == tmp_path / "home" / "t2i" / "runs"
    assert paths.data_root() == tmp_path / "home" / "t2i" / "data" / "downloads"


def test_there_is_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert str(citation["version"]) == newest[1] == t2i.__version__
