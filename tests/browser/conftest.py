"""JupyterLab as ``make lab`` starts it, in a checkout of its own, and a headless Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from nbformat import v4

from t2i import paths

BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
TOKEN = "bird"
WAIT = 180  # seconds, for a machine that does other things besides


# Whether the page has opened a notebook, and its kernel waits.
READY = """
const shown = window.jupyterapp?.shell.currentWidget;
return shown?.context?.path === arguments[0] && shown.context.isReady
    && shown.sessionContext.session?.kernel?.status === "idle";
"""


class Lab:
    """A running JupyterLab: its ``root``, and what a test asks of its server and of the page in the browser."""

    def __init__(self, root: Path, port: int):
        self.root, self.address = root, f"http://127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET"):
        """What the server's API answers, None for nothing."""
        request = urllib.request.Request(f"{self.address}/api{path}", method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def write(self, name: str, *cells: str) -> str:
        """A notebook of these cells; returns its path in the root."""
        (self.root / "workbook").mkdir(exist_ok=True)
        path = f"workbook/{name}.ipynb"
        notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        (self.root / path).write_text(json.dumps(notebook))
        return path

    def open(self, browser, path: str) -> None:
        """Open a notebook and wait until its kernel has nothing to do."""
        browser.get(f"{self.address}/lab/tree/{path}?reset&token={TOKEN}")
        browser.until(READY, path)

    def run(self, browser, path: str) -> None:
        """Open a notebook and start all its cells."""
        self.open(browser, path)
        browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def shut_kernels(self) -> None:
        for session in self.ask("/sessions"):
            self.ask(f"/sessions/{session['id']}", "DELETE")

    def changes(self) -> str:
        """What git sees changed."""
        command = ["git", "status", "--porcelain"]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout


def _copy(root: Path) -> None:
    """The checkout as it stands, as a repository of its own."""
    listed = ["git", "ls-files", "-coz", "--exclude-standard"]
    names = subprocess.run(listed, cwd=paths.checkout(), check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (source := paths.checkout() / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "as it stands"]):
        subprocess.run(["git", *command], cwd=root, check=True)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    root, home = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("home")
    _copy(root)
    settings = {"ServerApp": {"allow_root": True}, "LabApp": {"expose_app_in_browser": True}}
    for name in ("jupyter_server_config.json", "jupyter_lab_config.json"):
        (home / name).write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {f"JUPYTER_{kind}_DIR": str(home) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"IPYTHONDIR": str(home), "T2I_RUNS": str(home / "runs"), "T2I_DATA": str(home / "data")}
    inherited = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "t2i", "lab", "--no-browser", "--port", str(port)],
            env=inherited | places | {"JUPYTER_TOKEN": TOKEN, "PYTHONPATH": str(root)},
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = Lab(root, port)
    try:
        end = time.monotonic() + WAIT
        while True:
            try:
                running.ask("/status")
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None and time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.2)
        yield running
        running.shut_kernels()
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.fail("There is no Chromium here: install it (Debian: apt-get install chromium-driver).", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1280,1400"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    # JupyterLab's current widget is the one with the focus, and newer headless Chromiums give none to a page.
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    driver.set_script_timeout(WAIT)

    def until(script: str, *arguments):
        """What ``script`` returns, as soon as that is true."""
        return WebDriverWait(driver, WAIT, 0.1).until(lambda _: driver.execute_script(script, *arguments), script)

    def command(name: str) -> None:
        """One of JupyterLab's commands, to its end."""
        driver.execute_async_script(f"window.jupyterapp.commands.execute('{name}').then(() => arguments[0]())")

    driver.until, driver.command = until, command
    yield driver
    driver.quit()
