"""Where a figure was made."""

import subprocess

from t2i import paths, provenance


def test_the_device_is_named():
    assert provenance.hardware("cpu")["device"] not in ("", "cpu", "auto")


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_that_of_the_package(tmp_path, monkeypatch):
    house = tmp_path.resolve() / "house"
    (house / "t2i").mkdir(parents=True)
    (house / "t2i" / "a.py").write_text("1")
    monkeypatch.setattr(paths, "checkout", lambda: house)
    assert provenance.commit() == "unknown"
    monkeypatch.setenv("T2I_COMMIT", "0f1e2d")  # copied without its history
    assert provenance.commit() == "0f1e2d"
    git(house, "init")
    git(house, "add", ".")
    git(house, "commit", "-m", "one")
    head = provenance.commit()
    assert len(head) == 40
    (house / "lesson.ipynb").write_text("run")  # an executed notebook does not change what computes the numbers
    assert provenance.commit() == head
    (house / "t2i" / "a.py").write_text("2")
    assert provenance.commit() == head + "+dirty"
    monkeypatch.setattr(paths, "checkout", lambda: house / "t2i")  # as in an environment inside another repository
    assert provenance.commit() == "0f1e2d"
