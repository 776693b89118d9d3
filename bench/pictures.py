"""Pictures of the pages that people see, made in a real Chromium: `python -m bench.pictures`.

Chromium is driven over a pipe by its DevTools protocol: nothing else needs to be installed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rerank.index.records import Listing
from rerank.jobs.service.access import KEYS_FILE, Keys, Limits, Telemetry
from rerank.jobs.service.app import Service, application, listen
from rerank.jobs.service.batching import Batcher
from rerank.jobs.service.pages import ReviewPages
from rerank.store.database import Store
from rerank.store.rows import ListingLinks, StoredListing, save_links, save_listings
from rerank.workspace import Workspace

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 15.0
FOLDER = Path(__file__).resolve().parents[1] / "docs"
TITLE = "Zotac Twin Edge RTX4060Ti OC grey"
LISTINGS = (
    ("k1", TITLE, "Zotac", 329.5, "bazaar"),
    ("k2", f"{TITLE} lot 4821993", "Zotac", 325.0, "bazaar"),
    ("k3", f"{TITLE} lot 4821994", "Zotac", 320.0, "bazaar"),
    ("k4", "Holder for graphics cards, steel", "", 9.0, "north"),
    ("k5", "Palit Storm rtx 3080 10gb grey", "Palit", 300.0, "north"),
)
LINKS = {"k1": ListingLinks("https://example.org/1", "https://example.org/1.jpg")}
_SPECIAL = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9}


def chromium() -> str | None:
    """Return the Chromium of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a Chromium; use it through `browsing`.

    :param requests: addresses that the page asked for, in their order.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._rest, self._number, self._session = b"", 0, ""
        self._loads = 0
        self.requests: list[str] = []
        self.faults: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for part in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{part}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask Chromium for something and return what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                return dict(said["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        said: dict[str, Any] = json.loads(line)
        told = said.get("params", {})
        match said.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Log.entryAdded":
                self.faults.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.faults.append(json.dumps(told["exceptionDetails"]))
        return said

    def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        loads = self._loads
        self.call("Page.navigate", url=url)
        while self._loads == loads:
            self._read()

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript gives."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until an expression is true, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = self.run(script)
            except RuntimeError:  # the page changes just now
                found = None
            if found:
                return found
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain for {script}: {self.text()}")
            time.sleep(0.02)

    def text(self) -> str:
        """Return what the page says."""
        return str(self.run("document.body.innerText"))

    def press(self, key: str) -> None:
        """Press a key, as a keyboard does."""
        code = _SPECIAL.get(key)
        own: dict[str, Any] = {"key": key}
        own |= {"text": "\r"} if key == "Enter" else {} if code else {"text": key}
        own |= {"windowsVirtualKeyCode": code} if code else {}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown" if "text" in own else "rawKeyDown", **own
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Press the keys of a text, one after the other."""
        for char in text:
            self.press(char)

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Let the page have a size and a light."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1.5 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        light = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[light])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what is seen as PNG: the whole page, or the window."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browsing(program: str) -> Iterator[Browser]:
    """Lend a browser with a fresh profile; it has ended when the block ends."""
    there, to_browser = os.pipe()
    from_browser, back = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        words += ["--disable-dev-shm-usage", "--disable-extensions", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", "--hide-scrollbars", "about:blank"]
        shell = 'exec 3<&"$0" 4>&"$1"; shift; exec "$@"'
        process = subprocess.Popen(
            ["bash", "-c", shell, str(there), str(back), *words],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            os.close(to_browser)
            os.close(from_browser)
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def service_of(home: Path, *, keys: str = "", **own: Any) -> Service:
    """Return a service with the pages of a workspace, which logs nothing.

    :param keys: as the environment has them.
    :param own: of `rerank.jobs.service.pages.ReviewPages`.
    """
    workspace = Workspace(home)
    batcher = Batcher(workspace, most_waiting=1000, look_every_s=3600)
    service = Service(batcher, Keys(home / KEYS_FILE, keys), Telemetry(log=False), Limits())
    service.operations += ReviewPages(service, workspace, **own).operations()
    return service


@contextmanager
def running(service: Service) -> Iterator[str]:
    """Let a service answer on a free port while the block runs, and yield its address."""
    import uvicorn

    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(application(service), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def make_pictures(program: str, folder: Path) -> list[Path]:
    """Make the pictures of the docs, and return where they are.

    :param program: the Chromium.
    """
    with tempfile.TemporaryDirectory() as home:
        listings = [
            StoredListing(Listing(key, title, vendor, "", price), shop)
            for key, title, vendor, price, shop in LISTINGS
        ]
        with Store(Workspace(Path(home)).store_path).writing() as session:
            save_listings(session, listings)
            save_links(session, LINKS)
        service = service_of(Path(home), person="anna", listing_ids=[row[0] for row in LISTINGS])
        with running(service) as url, browsing(program) as browser:
            return list(_taken(browser, url, folder))


def _taken(browser: Browser, url: str, folder: Path) -> Iterator[Path]:
    """Look at each page and save what is seen."""
    shown = "document.querySelector('[name=listing]').value"
    browser.look(900, 760)
    browser.open(f"{url}/review")
    while browser.run(shown) != "k1":
        browser.run("window.old = true")
        browser.press("x" if browser.run(shown) == "k4" else "1")
        browser.wait_for("!window.old && document.readyState === 'complete'")
    for name, phone in (("review", False), ("review-phone", True)):
        browser.look(*((390, 844) if phone else (900, 760)), dark=phone, phone=phone)
        browser.open(f"{url}/review")
        browser.run("document.querySelector('.alike').open = true")
        browser.picture(folder / f"{name}.png", whole=not phone)
        yield folder / f"{name}.png"
    browser.look(900, 760)
    browser.open(f"{url}/try?title={TITLE.replace(' ', '+')}")
    browser.run("document.activeElement.blur()")
    browser.picture(folder / "try.png")
    yield folder / "try.png"


@click.command()
def main() -> None:
    """Make the pictures of the docs, where there is a Chromium."""
    program = chromium()
    if program is None:
        raise click.ClickException(f"expected one of {', '.join(NAMES)} on the PATH, found none")
    for path in make_pictures(program, FOLDER):
        click.echo(path.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
