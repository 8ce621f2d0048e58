"""The table in README.md says what the records say."""

import importlib.util

from t2i import paths

spec = importlib.util.spec_from_file_location("status", paths.checkout() / "docs" / "status.py")
status = importlib.util.module_from_spec(spec)
spec.loader.exec_module(status)


def test_the_table_in_the_readme_is_that_of_the_records():
    before, within, behind = status.parts(status.README.read_text(encoding="utf-8"))
    assert within == status.table(), "python docs/status.py writes it anew"
    assert before and behind


def test_every_model_of_the_course_is_in_it():
    from t2i import models, results

    rungs = {"ig", "mtwig-ks1", "mtwig-ks2", "mtwig-ks3"}  # lesson 09 has them
    names = {results.PUBLISHED_METHODS[name] for name in models.NAMES if name in results.PUBLISHED_METHODS}
    missing = names - status.HELD.keys() - {results.PUBLISHED_METHODS[name] for name in rungs}
    assert missing <= {"GAN-INT-CLS"}  # GAN-CLS with one more term in its loss
    assert status.HELD.keys() <= names


def test_writing_changes_nothing_else(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"above\n{status.START}old\n{status.END}below\n", encoding="utf-8")
    status.write(file)
    assert file.read_text(encoding="utf-8") == f"above\n{status.START}{status.table()}{status.END}below\n"
