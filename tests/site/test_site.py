"""The site as ``make site`` leaves it, in headless Chromium: ``make site-test``. No name of another machine can be
looked up here, so a page that asks for anything from elsewhere shows an error."""

import shutil
import threading
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from t2i import paths, released
from t2i.notebook import captions_for

webdriver = pytest.importorskip("selenium.webdriver", reason="make site-test installs selenium and runs these")
wait = pytest.importorskip("selenium.webdriver.support.wait")

SITE = paths.checkout() / "build" / "site"
FOUND = {file.relative_to(SITE).as_posix(): file for file in sorted(SITE.rglob("*.html"))}
PAGES = {name: file for name, file in FOUND.items() if not name.startswith("_static/")}  # where a theme has templates
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HERE = "http://site"  # what a page's own address begins with, where links are followed without a browser
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PHONE, DESKTOP = (390, 844), (1280, 900)

# What is wrong with a page, once its formulas are set and its pictures are there.
LOOK = """
const done = arguments[0], found = [];
(async () => {
  if (window.MathJax?.startup) await MathJax.startup.promise;
  for (const picture of document.images) {
    picture.loading = "eager";
    await picture.decode().catch(() => found.push("no picture: " + picture.currentSrc.slice(0, 80)));
    if (!picture.alt || picture.alt.includes("/_images/")) found.push("no text for " + picture.currentSrc.slice(0, 80));
  }
  for (const formula of document.querySelectorAll(".math"))
    if (!formula.querySelector("mjx-container svg")) found.push("not set: " + formula.textContent.slice(0, 80));
  for (const error of document.querySelectorAll("[data-mjx-error], [data-mml-node=merror]"))
    found.push("formula: " + error.getAttribute("data-mjx-error"));
  done(found);
})();
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Links(HTMLParser):
    """What a page refers to, what it loads by itself, and what can be referred to in it."""

    def __init__(self, file: Path):
        super().__init__()
        self.targets, self.loaded, self.anchors = [], [], {"", "top"}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        target = found.get("src") or found.get("href")
        if target:
            self.targets.append(target)
            if tag != "a":
                self.loaded.append(target)


@pytest.fixture(scope="module")
def links():
    assert PAGES, f"{SITE} holds no pages: make site"
    return {name: Links(file) for name, file in PAGES.items()}


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not program or not driver:
        pytest.fail("Chromium or its driver is missing: apt-get install chromium chromium-driver.", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    for flag in (*FLAGS, profile, "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"):
        options.add_argument(flag)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    started.set_script_timeout(60)
    yield started
    started.quit()


def show(browser, address: str, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)


def overflow(browser) -> int:
    """By how many pixels the page is wider than its window."""
    return browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_errors_and_fits(name, browser, address):
    show(browser, address + name, *PHONE)
    assert browser.execute_async_script(LOOK) == []
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    width = browser.execute_script("return window.innerWidth")
    assert (width, overflow(browser)) == (PHONE[0], 0)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert overflow(browser) <= 0


def test_links_lead_somewhere(links):
    broken = []
    for name, page in links.items():
        for target in page.targets:
            there = urlsplit(urljoin(f"{HERE}/{name}", target))
            path, anchor = unquote(there.path).lstrip("/"), unquote(there.fragment)
            inside = f"{there.scheme}://{there.netloc}" == HERE
            if inside and not ((SITE / path).is_file() and (path not in links or anchor in links[path].anchors)):
                broken.append(f"{name}: {target}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(links):
    loaded = {urljoin(f"{HERE}/{name}", target) for name, page in links.items() for target in page.loaded}
    elsewhere = {target for target in loaded if not target.startswith((HERE, "data:"))}
    assert elsewhere == set()


def test_every_lesson_is_reached_from_the_start(links):
    lessons = {f"notebooks/{file.stem}.html" for file in (paths.checkout() / "notebooks").glob("*.ipynb")}
    assert lessons and lessons <= set(links["index.html"].targets)


def test_formulas_and_pictures_are_there_to_be_looked_at(browser, address):
    show(browser, f"{address}notebooks/06_attngan.html", *DESKTOP)
    assert browser.execute_async_script(LOOK) == []
    count = "return document.querySelectorAll(arguments[0]).length"
    assert browser.execute_script(count, "mjx-container svg") > 20
    assert browser.execute_script(count, ".cell_output img") > 5


def test_solutions_are_folded(browser, address):
    show(browser, f"{address}notebooks/solutions/06_attngan_solutions.html", *DESKTOP)
    folded = browser.find_elements("css selector", "section > details")
    assert len(folded) == 3 and not any(one.get_property("open") for one in folded)
    answer = folded[0].find_element("css selector", "p")
    assert not answer.is_displayed()
    folded[0].find_element("css selector", "summary").click()
    assert answer.is_displayed()


def test_the_search_finds(browser, address):
    show(browser, f"{address}search.html?q=redundancy", *DESKTOP)
    found = wait.WebDriverWait(browser, 20).until(
        lambda page: page.find_elements("css selector", "#search-results li a")
    )
    assert any("09_msmt_gan" in one.get_attribute("href") for one in found)


def test_a_table_is_sorted_by_a_click(browser, address):
    show(browser, f"{address}leaderboard.html", *DESKTOP)
    table = browser.find_element("css selector", "table.sortable")
    for direction in ("ascending", "descending"):
        table.find_elements("css selector", "thead button")[2].click()  # of figures; before it stands whose
        cells = [row.find_elements("tag name", "td")[1].text for row in table.find_elements("css selector", "tbody tr")]
        figures = [float(cell.split()[0]) for cell in cells if cell != "–"]
        assert len(figures) > 3 and figures == sorted(figures, reverse=direction == "descending")
        assert cells[len(figures) :] == ["–"] * (len(cells) - len(figures))  # what was not measured comes last
        assert table.find_elements("tag name", "th")[2].get_attribute("aria-sort") == direction


def test_a_word_of_the_gallery_shows_where_it_is_looked_for(browser, address):
    show(browser, f"{address}gallery.html", *DESKTOP)
    rows = browser.find_elements("css selector", "table.gallery tbody tr")
    drawn = Counter(captions_for(released.load(name).config.data_name) for name in released.NAMES)
    wanted = [count for captions, count in drawn.items() for _ in captions]
    assert [len(row.find_elements("tag name", "img")) for row in rows] == wanted
    before = rows[0].screenshot_as_png
    webdriver.ActionChains(browser).move_to_element(rows[0].find_elements("tag name", "button")[1]).perform()
    shown = [picture.value_of_css_property("object-position") for picture in rows[0].find_elements("tag name", "img")]
    assert any(position != "0% 0px" for position in shown)
    assert rows[0].screenshot_as_png != before
