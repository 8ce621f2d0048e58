import os
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from t2i import paths
from t2i.data import cache as module
from t2i.data import cub, folder
from t2i.data.cache import ImageCache
from t2i.errors import UserError


@pytest.fixture(autouse=True)
def _data_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded, in order."""
    files = []
    decode = module.decode

    def count(example, *preparation):
        files.append(example.image.name)
        return decode(example, *preparation)

    monkeypatch.setattr(module, "decode", count)
    return files


def _cache(root, **changes):
    settings = {"size": 32, "crop": "box", "resize": "shorter", **changes}
    return ImageCache("cub", root, cub.read(root).examples, **settings)


def test_holds_the_prepared_pictures(little_cub):
    cache = _cache(little_cub, crop="whole")
    examples = cub.read(little_cub).examples
    assert len(cache) == 12
    assert cache[1].shape == (38, 47, 3)  # 100 × 80 px
    for number in (0, 5, 11):
        assert np.array_equal(cache[number], module.decode(examples[number], 32, "whole", "shorter"))


def test_decodes_each_picture_once(little_cub, decoded):
    first = np.array(_cache(little_cub)[3])
    assert len(decoded) == 12
    assert np.array_equal(_cache(little_cub)[3], first)
    assert len(decoded) == 12


def test_is_read_only(little_cub):
    with pytest.raises(ValueError, match="read-only"):
        _cache(little_cub)[0][:] = 0


def test_other_preparations_are_other_files(little_cub, decoded):
    caches = [
        _cache(little_cub),
        _cache(little_cub, size=16),
        _cache(little_cub, crop="whole"),
        _cache(little_cub, resize="square"),
    ]
    assert len({cache.file for cache in caches}) == 4
    assert len(decoded) == 48


def test_is_built_again_by_another_pillow(little_cub, decoded, monkeypatch):
    _cache(little_cub)
    monkeypatch.setattr(module.PIL, "__version__", "99.0")
    _cache(little_cub)
    assert len(decoded) == 24


def test_own_pictures_are_kept_as_a_viewer_shows_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (80, 40), "red").save(tmp_path / "photos" / "a.jpg", exif=exif)
    Image.new("LA", (40, 40), (0, 0)).save(tmp_path / "photos" / "b.png")
    (tmp_path / "captions.csv").write_text("file,caption\na.jpg,a boat\nb.png,nothing\n")
    index = folder.prepare(tmp_path / "photos", tmp_path / "captions.csv", tmp_path / "boats")
    shown = ImageCache("folder", index.root, index.examples, 32, "box", "shorter")
    assert shown[0].shape == (76, 38, 3) and (shown[1] == 255).all()
    stored = [replace(example, as_shown=False) for example in index.examples]
    assert ImageCache("folder", index.root, stored, 32, "box", "shorter")[0].shape == (38, 76, 3)


def test_is_built_again_when_a_picture_changes(little_cub, decoded, draw_picture):
    before = np.array(_cache(little_cub)[0])
    draw_picture(cub.read(little_cub).examples[0].image, 90, 80, seed=99)
    assert not np.array_equal(_cache(little_cub)[0], before)
    assert len(decoded) == 24


def test_is_built_again_when_a_time_a_box_or_the_list_changes(little_cub, decoded):
    _cache(little_cub)
    os.utime(cub.read(little_cub).examples[2].image, (1, 1))
    _cache(little_cub)
    assert len(decoded) == 24
    boxes = little_cub / "CUB_200_2011" / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace("1 20.0", "1 21.0", 1))
    _cache(little_cub)
    assert len(decoded) == 36
    (little_cub / "text" / "001.Bird1" / "Bird1_0000.txt").unlink()
    assert len(_cache(little_cub)) == 11


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink()])
def test_is_built_again_when_it_is_damaged(little_cub, decoded, damage):
    damage(_cache(little_cub).file)
    assert len(_cache(little_cub)) == 12
    assert len(decoded) == 24


def test_a_broken_header_is_built_again(little_cub, decoded):
    _cache(little_cub).file.with_suffix(".json").write_text('{"sources": ')
    _cache(little_cub)
    assert len(decoded) == 24


def test_a_bad_picture_is_named_and_leaves_nothing_behind(little_cub):
    bad = cub.read(little_cub).examples[7].image
    bad.write_bytes(bad.read_bytes()[:400])
    with pytest.raises(UserError, match="cannot be read as an image") as caught:
        _cache(little_cub)
    assert str(bad) in caught.value.problem
    assert list(paths.cache_root().iterdir()) == []


def test_a_bad_box_is_named_with_its_file(little_cub):
    boxes = little_cub / "CUB_200_2011" / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace("\n2 20.0", "\n2 200.0"))
    with pytest.raises(UserError, match=r"Bird1_0001\.jpg: The box .200, 10, 40, 50. lies outside") as caught:
        _cache(little_cub)
    assert "x, y, width, height" in caught.value.mend


def test_a_missing_picture_is_named(little_cub):
    examples = cub.read(little_cub).examples
    examples[4].image.unlink()
    with pytest.raises(UserError, match=r"Bird2_0001\.jpg is missing"):
        ImageCache("cub", little_cub, examples, 32, "box", "shorter")


def test_a_full_disk_is_said_and_leaves_nothing_behind(little_cub, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "fsync", full)
    with pytest.raises(UserError, match=r"\.uint8 cannot be written: its disk is full") as caught:
        _cache(little_cub)
    assert "T2I_DATA" in caught.value.mend and not list(paths.cache_root().iterdir())


def test_of_several_builders_at_once_one_decodes_and_the_others_wait(little_cub, decoded):
    found, together = [], threading.Barrier(4)

    def build():
        together.wait()
        cache = _cache(little_cub)
        found.append([np.array(cache[number]) for number in range(12)])

    threads = [threading.Thread(target=build) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 4
    assert len(decoded) == 12
    assert all(np.array_equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
    assert sorted(path.suffix for path in paths.cache_root().iterdir()) == [".json", ".uint8"]


def test_who_waits_for_another_process_takes_what_it_built(little_cub, decoded):
    cache = _cache(little_cub)
    files = [cache.file, cache.file.with_suffix(".json")]
    for file in files:
        file.rename(file.with_suffix(f"{file.suffix}.later"))
    moves = "".join(f"os.rename({str(file) + '.later'!r}, {str(file)!r});" for file in files)
    script = f"""
import os, sys
from filelock import FileLock
with FileLock({str(cache.file.with_suffix(".lock"))!r}):
    print("held", flush=True)
    sys.stdin.readline()
    {moves}
"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        waiting = threading.Thread(target=_cache, args=[little_cub])
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        other.communicate("\n")
        waiting.join(10)
    assert not waiting.is_alive()
    assert len(decoded) == 12


def test_a_builder_that_failed_lets_the_next_one_try(little_cub, decoded):
    bad = cub.read(little_cub).examples[7].image
    whole = bad.read_bytes()
    bad.write_bytes(whole[:400])
    with pytest.raises(UserError):
        _cache(little_cub)
    bad.write_bytes(whole)
    assert len(_cache(little_cub)) == 12


def test_a_cache_folder_that_takes_no_files_is_said(little_cub, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written") as caught:
        _cache(little_cub)
    assert "T2I_DATA" in caught.value.mend


@pytest.mark.parametrize("resize", ["shorter", "square"])
def test_a_large_cache_is_announced_with_its_size_and_place(little_cub, monkeypatch, capsys, resize):
    monkeypatch.setattr(module, "_LARGE", 12 * 38 * 38 * 3)  # bytes of twelve squares
    cache = _cache(little_cub, crop="whole", resize=resize)
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"The prepared images will take about {cache.nbytes / 1e9:.1f} GB: {cache.file}"
    _cache(little_cub, crop="whole", resize=resize)
    assert capsys.readouterr().out == ""


def test_a_small_cache_is_built_without_a_word(little_cub, capsys):
    _cache(little_cub)
    assert capsys.readouterr().out == ""


def test_a_large_cache_is_refused_at_once_where_the_disk_has_no_room(little_cub, monkeypatch, decoded):
    monkeypatch.setattr(module, "_LARGE", 1)
    monkeypatch.setattr(module, "_SAMPLE", 4)
    size = sum(module.decode(e, 32, "whole", "shorter").nbytes for e in cub.read(little_cub).examples)
    decoded.clear()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=size // 2))
    with pytest.raises(UserError, match=r"needs about .* GB, and its disk has .* GB free") as caught:
        _cache(little_cub, crop="whole")
    assert "T2I_DATA" in caught.value.mend
    assert len(decoded) == 4
    assert list(paths.cache_root().iterdir()) == []
