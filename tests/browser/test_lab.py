"""Lessons and the panel as a student meets them in JupyterLab: ``make browser-test``."""

import json
import time

import pytest

selenium = pytest.importorskip("selenium.webdriver", reason="make browser-test installs selenium and runs these")
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = selenium.Keys
Select = pytest.importorskip("selenium.webdriver.support.ui").Select

SHOWN = "const all = [...document.querySelectorAll('%s')].filter(one => one.checkVisibility()); return all.map(%s)"
PICTURES = SHOWN % (".t2i-panel img", "one => [one.src, one.alt]")
KEPT = SHOWN % (".t2i-still img", "one => one.alt")
TEXT = SHOWN % (".jp-OutputArea-output", "one => one.innerText.trim()")
OTHER = "a small blue bird with orange wings"
SECONDS = 20  # in which a picture must come; it takes a tenth of a second on a machine that does nothing else


def field(browser, label):
    """The control of the panel beside this label."""
    beside = f"//*[contains(@class, 't2i-panel')]//label[normalize-space()='{label}']/.."
    return browser.find_element(By.XPATH, f"{beside}//*[self::input or self::select]")


def changed(browser, before):
    """The pictures of the panel as soon as they are others."""
    begun = time.monotonic()
    browser.until(
        f"return JSON.stringify((() => {{{PICTURES}}})()) !== arguments[0]", json.dumps(before, separators=(",", ":"))
    )
    browser.until("return !document.querySelector('.t2i-busy')")
    assert time.monotonic() - begun < SECONDS
    return browser.execute_script(PICTURES)


def test_opening_a_lesson_changes_nothing_in_git(browser, lab):
    lab.open(browser, "workbook/00_tour.ipynb")
    links = browser.execute_script(
        "return [...document.querySelectorAll('.jp-Notebook a')].map(a => a.dataset.href || a.href)"
    )
    assert links
    browser.command("docmanager:save")
    assert lab.changes() == ""
    assert lab.ask("/contents/README.md?content=0")["type"] == "file"  # what the lessons' links lead to
    assert lab.ask("/contents/workbook/solutions?content=0")["type"] == "directory"


def test_a_caption_is_typed_and_the_picture_changes(browser, lab):
    path = lab.write("panel", "from t2i import panel\npanel.Panel()")
    lab.run(browser, path)
    browser.until(f"return (() => {{{PICTURES}}})().length > 1")
    first = browser.execute_script(PICTURES)
    assert first[0][1].endswith("draws: a yellow bird with black wings and a red crown")
    assert browser.execute_script(KEPT) == []  # the picture for other pages is there, and hidden

    caption = field(browser, "caption")
    caption.send_keys(Keys.CONTROL, "a")
    caption.send_keys(OTHER, Keys.ENTER)
    second = changed(browser, first)
    assert second[0][0] != first[0][0] and second[0][1].endswith(f"draws: {OTHER}")

    Select(field(browser, "word")).select_by_visible_text("3 blue")
    third = changed(browser, second)
    assert len(third) == 2 and third[1][1].endswith("looked up the word 'blue'")

    walk = field(browser, "walk to")
    walk.send_keys("a large red bird", Keys.ENTER)
    fourth = changed(browser, third)
    browser.find_element(By.XPATH, "//button[normalize-space()='shuffle']").click()
    fifth = changed(browser, fourth)
    assert len(third) < len(fourth) < len(fifth) and all(alt for _, alt in fifth)

    # Saved, closed, opened again: no kernel, so no widget, but the picture as it was.
    browser.command("docmanager:save")
    lab.shut_kernels()
    lab.open(browser, path)
    browser.until(f"return (() => {{{KEPT}}})().length")
    assert browser.execute_script(KEPT) == [alt for _, alt in fifth]
    assert not any("Error displaying widget" in text for text in browser.execute_script(TEXT))


def test_progress_and_errors_are_lines_that_are_saved(browser, lab):
    cells = (
        "from t2i.progress import tqdm\nfor _ in tqdm(range(1000), desc='birds', unit='bird'): pass",
        "import t2i\nt2i.load('nowhere')",
    )
    path = lab.write("lines", *cells)
    lab.run(browser, path)
    for _ in range(2):  # as it ran, and as it was saved
        browser.until(f"return (() => {{{TEXT}}})().length === 2")
        progress, error = browser.execute_script(TEXT)
        assert progress.startswith("birds: bird 1,000 of 1,000, 00:0")
        assert error.startswith("UserError: ") and "nowhere is no run folder" in error and len(error.splitlines()) == 1
        browser.command("docmanager:save")
        lab.shut_kernels()
        lab.open(browser, path)
