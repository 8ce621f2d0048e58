"""What all tests share: outputs go to a temporary folder, and real sample data is used where it is present."""

import os
from pathlib import Path

import pytest

os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported

from t2i import paths


@pytest.fixture(scope="session", autouse=True)
def _outputs_outside_the_checkout(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("T2I_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def samples():
    """``samples(name)`` is the folder of a real sample set; the test is skipped, saying why, where it is absent."""
    places = [paths.checkout() / "data" / "samples", paths.checkout().parent / "shared" / "data"]
    if "T2I_SAMPLES" in os.environ:
        places = [Path(os.environ["T2I_SAMPLES"]), *places]

    def find(name: str) -> Path:
        for place in places:
            if (place / name).is_dir():
                return place / name
        pytest.skip(f"the sample set {name} is not here: name the folder that holds it in T2I_SAMPLES")

    return find
