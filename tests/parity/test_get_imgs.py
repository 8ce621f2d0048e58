"""The pictures that AttnGAN's own ``get_imgs`` makes of six photographs of CUB-200-2011, recorded pixel by pixel."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from t2i.data import images

GOLDEN = json.loads((Path(__file__).parent / "golden" / "get_imgs.json").read_text())
TOLERANCE = 2 / 255 * 2  # two levels of 255, in [-1, 1]: what another JPEG decoder or Pillow may change
SIZES = (64, 128, 256)


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=[Path(run["file"]).stem for run in GOLDEN["runs"]])
def test_the_pyramid_equals_the_official_one(samples, run):
    path = samples("cub10") / run["file"].removeprefix("data/")
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the sample set cub10")
    assert hashlib.sha1(path.read_bytes()).hexdigest() == run["sha1"]
    image = images.open_rgb(path)
    left, top, right, bottom = images.bird_box(run["bbox"], *image.size)
    assert [right - left, bottom - top] == run["crop_size"]
    prepared = images.prepare(image, run["bbox"], 256, "box", "shorter")
    assert list(prepared.size) == run["resized"]
    window = np.asarray(prepared)[run["top"] : run["top"] + 256, run["left"] : run["left"] + 256]
    window = window[:, ::-1] if run["flip"] else window
    for size, picture in zip(SIZES, images.pyramid(window, SIZES), strict=True):
        golden = run["outputs"][f"img{size}"]
        ours = images.to_tensor([picture])[0]
        assert list(ours.shape) == golden["shape"]
        assert np.abs(ours.flatten()[golden["idx"]].numpy() - golden["values"]).max() <= TOLERANCE
        assert float(ours.mean()) == pytest.approx(golden["mean"], abs=2e-3)
        assert float(ours.std(correction=0)) == pytest.approx(golden["std"], abs=2e-3)
