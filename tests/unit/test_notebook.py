"""What every lesson uses."""

import re

from t2i import notebook


def test_a_lesson_ends_with_its_time_from_the_banner_on_and_with_what_comes_next(capsys, monkeypatch):
    now = iter([100.0, 142.4])
    monkeypatch.setattr(notebook.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(notebook.plots, "use_style", lambda: None)  # pyplot's settings stay as they are
    notebook.banner("cpu", "aviary", 3)
    notebook.closing("cpu", "05_stackgan.ipynb")
    first, *_, last = capsys.readouterr().out.splitlines()
    assert re.search("profile cpu · data set aviary · seed 3$", first)
    assert last == "This lesson took 42 s under cpu. Next: 05_stackgan.ipynb"
