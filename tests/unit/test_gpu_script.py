"""The prepared command for a machine with a GPU, as its dry run on a CPU goes, and what it takes along."""

import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
import small_flowers
from safetensors.torch import load_file

from t2i import checkpoint, paths
from t2i.data import flowers
from t2i.data.images import open_rgb

SCRIPTS = paths.checkout() / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("timeout"), reason="a bash script for Linux")
def test_a_dry_run_trains_measures_and_keeps_what_is_small(little_aviary, tmp_path):
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    places = {"OUT": str(out), "SCRATCH": str(scratch), "T2I_DATA": str(little_aviary.parent), "PYTHON": sys.executable}
    settings = {"DRY": "1", "PARTS": "train", "MODELS": "ig", "OMP_NUM_THREADS": "1", "KEEP_MB": "1.4"}
    subprocess.run(["bash", str(SCRIPTS / "gpu.sh")], env=os.environ | places | settings, check=True, timeout=300)

    log = (out / "log.txt").read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ig-aviary-smoke-s0"]["metrics"]["fid"] > 0 and "attngan" not in log
    assert summary["damsm-aviary-smoke-s0"]["steps"] == 40
    assert {file.name for file in (out / "ig-aviary-smoke-s0").iterdir()} >= {"sheet.png", "stats.jsonl", "config.json"}

    kept = load_file(out / "damsm-aviary-smoke-s0" / "weights.safetensors")
    learned = checkpoint.read(scratch / "runs" / "damsm-aviary-smoke-s0" / "checkpoint.pt")["networks"]
    assert {f"{part}.{name}" for part, weights in learned.items() for name in weights} == kept.keys()
    embedding = kept["encoder.embedding.weight"]
    assert embedding.equal(learned["encoder"]["embedding.weight"].to(embedding.dtype)) and embedding.element_size() == 2
    assert "ig-aviary-smoke-s0: its weights," in log and "do not fit any more" in log
    assert sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) < 1.4e6


def test_flowers_are_packed_small(tmp_path, draw_picture, little_flowers):
    archive = tmp_path / "flowers.tar.gz"
    draw_picture(little_flowers / "jpg" / "image_00001.jpg", 300, 200)
    small_flowers.pack(little_flowers, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    before, after = flowers.read(little_flowers), flowers.read(tmp_path / "unpacked")
    assert [(e.key, e.captions, e.split) for e in before.examples] == [
        (e.key, e.captions, e.split) for e in after.examples
    ]
    sizes = [open_rgb(example.image).size for example in after.examples]
    assert sizes == [(114, 76)] + [(40, 40)] * 5
