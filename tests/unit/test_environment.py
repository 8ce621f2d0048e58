"""pyproject.toml is the one list of dependencies; the lock, environment.yml, the Makefile and CI follow it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from t2i import paths

ROOT = paths.checkout()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
OF_THE_SITE = [Requirement(line) for line in PROJECT["optional-dependencies"]["site"]]
LINUX_ONLY = ("nvidia-", "cuda-", "triton")


def lines(name):
    return [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]


LINES, SITE_LINES = lines("requirements.lock"), lines("requirements-site.lock")
LOCK, SITE_LOCK = ({canonicalize_name(pin.name): pin for pin in map(Requirement, each)} for each in (LINES, SITE_LINES))


def pinned(requirement, lock=LOCK):
    (specifier,) = lock[canonicalize_name(requirement.name)].specifier
    return Version(specifier.version)


@pytest.mark.parametrize("requirement", NEEDED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_inside_its_range(requirement):
    assert requirement.specifier.contains(pinned(requirement))


@pytest.mark.parametrize("requirement", OF_THE_SITE, ids=lambda requirement: requirement.name)
def test_what_only_the_site_needs_is_pinned_apart(requirement):
    assert requirement.specifier.contains(pinned(requirement, SITE_LOCK))


@pytest.mark.parametrize("line", LINES + SITE_LINES, ids=lambda line: line.split("==")[0])
def test_a_pin_is_a_name_and_a_public_version(line):
    assert re.fullmatch(r'[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*( ; sys_platform == "linux")?', line)
    linux_only = canonicalize_name(Requirement(line).name).startswith(LINUX_ONLY)
    assert linux_only == line.endswith('"linux"')


def test_the_pins_are_one_for_each_package_and_in_order():
    names = [line.split("==")[0].lower() for line in LINES]
    assert names == sorted(names)
    assert len(LOCK | SITE_LOCK) == len(LINES) + len(SITE_LINES)


def test_conda_installs_the_lock_and_the_package_and_nothing_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, through_pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"] and pip == "pip"
    assert through_pip == {"pip": ["-r requirements.lock", "-e .[test]"]}
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["requires-python"])


@pytest.fixture
def make(tmp_path):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    set_by_make = ("MAKE", "MFLAGS", "FAST", "JOBS", "PROFILE", "PYTHON", "TORCH", "VENV")  # which may run these tests
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(set_by_make)}

    def run(*arguments):
        command = ["make", f"VENV={tmp_path / 'venv'}", *arguments]
        return subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True)

    return run


def test_make_installs_the_lock_and_then_the_package_alone(make):
    plan = make("-n", "setup").stdout
    assert plan.index("pip install -r requirements.lock") < plan.index("pip install -e . --no-deps")


def test_torch_may_come_from_elsewhere_and_the_rest_from_the_lock(make, tmp_path):
    (tmp_path / "venv").mkdir()
    at = "https://example.org/whl/cpu"
    plan = make("-n", "setup", f"TORCH={at}").stdout
    assert f'pip install --no-deps {LOCK["torch"]} {LOCK["torchvision"]} --index-url "{at}"' in plan
    plan = make("-n", "setup", "TORCH=/wheels").stdout
    assert 'pip install --no-deps "torch>=2.6" "torchvision>=0.21" --no-index --find-links "/wheels"' in plan
    assert "pip install -r requirements.lock" not in plan
    (shortened,) = [line for line in plan.splitlines() if line.startswith("sed ")]
    subprocess.run(shortened, shell=True, cwd=ROOT, check=True)
    rest = lines(tmp_path / "venv" / "besides-torch.lock")
    left_out = {canonicalize_name(Requirement(line).name) for line in set(LINES) - set(rest)}
    assert set(rest) < set(LINES) and {"torch", "torchvision"} < left_out
    assert all(name.startswith(LINUX_ONLY) for name in left_out - {"torch", "torchvision"})
    assert not any(line.endswith('"linux"') for line in rest)


@pytest.mark.parametrize(
    ("target", "command"),
    [
        (["course"], "-m t2i course --profile cpu"),
        (["course", "PROFILE=smoke"], "-m t2i course --profile smoke"),
        (["tour"], "-m t2i course --profile cpu --only 00"),
        (["lab"], "-m t2i lab"),
        (["refresh"], "-m t2i refresh"),
        (["test"], "--nbval-lax --nbval-current-env"),
        (["site"], "-m sphinx"),
        (["site-test"], "pytest tests/site"),
    ],
)
def test_targets_set_up_where_needed_and_only_there(make, tmp_path, target, command):
    plan = make("-n", *target).stdout
    assert plan.index("pip install -r requirements.lock") < plan.index(command)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".done").touch()
    (tmp_path / "venv" / ".site").touch()
    plan = make("-n", *target).stdout
    assert command in plan and "pip install" not in plan


def test_make_needs_the_python_that_pyproject_asks_for_and_says_so(make, tmp_path):
    old = tmp_path / "python3"
    wanted = re.fullmatch(r">=(3)\.(\d+)", PROJECT["requires-python"])
    newest_refused = f"(3, {int(wanted[2]) - 1}, 9)"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = {newest_refused}; $2"\n')
    old.chmod(0o755)
    refused = make("setup", f"PYTHON={old}")
    assert refused.returncode != 0
    assert f"t2i needs Python {wanted[1]}.{wanted[2]} or newer, which '{old}' is not: install one" in refused.stderr
    assert not (tmp_path / "venv").exists()
    assert "needs Python" in make("setup", f"PYTHON={tmp_path / 'absent'}").stderr


def test_this_python_is_allowed():
    assert default_environment()["python_full_version"] in SpecifierSet(PROJECT["requires-python"])


WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}


def commands(workflow):
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def test_every_workflow_calls_make_and_its_targets_exist():
    assert WORKFLOWS.keys() == {"tests", "weekly", "site"}
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name, workflow in WORKFLOWS.items():
        (called,) = [command for command in commands(workflow) if command.startswith("make ")]
        words = [word for word in called.split("${{")[0].split()[1:] if "=" not in word]
        assert words and set(words) <= set(targets), name


def test_the_tests_run_with_the_oldest_python_and_the_oldest_torch_that_are_allowed():
    matrix = WORKFLOWS["tests"]["jobs"]["test"]["strategy"]["matrix"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    oldest = [requirement for requirement in NEEDED if requirement.name in ("torch", "torchvision")]
    floors = [f"{requirement.name}=={str(requirement.specifier).removeprefix('>=')}.*" for requirement in oldest]
    assert matrix["include"][0]["torch"].split() == floors
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
