"""What all tests share: outputs in a temporary folder, real sample data where it is, two workers that divide it all."""

import os
from pathlib import Path

import pytest

os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported

from t2i import paths

SAMPLES = "cub10", "flowers102", "flowers102_64", "coco_small", "cub200_index_captions18"


def sample_set(name: str) -> Path | None:
    """The folder of a set of real photographs, or None where it is absent."""
    places = [paths.checkout() / "data" / "samples", paths.checkout().parent / "shared" / "data"]
    if "T2I_SAMPLES" in os.environ:
        places = [Path(os.environ["T2I_SAMPLES"]), *places]
    return next((place / name for place in places if (place / name).is_dir()), None)


def pytest_report_header() -> str | None:
    absent = [name for name in SAMPLES if sample_set(name) is None]
    if absent:
        return f"skipped: tests with real photographs ({', '.join(absent)}); T2I_SAMPLES names the folder that has them"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker takes a whole file, whose fixtures are then made once, or all notebooks, in order and in one workspace:
    two processes never train one run at once."""
    from xdist.scheduler import LoadFileScheduling

    class Rooms(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "notebooks" if file.endswith(".ipynb") else file

    return Rooms(config, log)


@pytest.fixture(scope="session", autouse=True)
def _outputs_outside_the_checkout(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def samples():
    """``samples(name)`` is the folder of a real sample set; the test is skipped, saying why, where it is absent."""

    def find(name: str) -> Path:
        return sample_set(name) or pytest.skip(f"{name} is not here: T2I_SAMPLES names the folder that holds it")

    return find
