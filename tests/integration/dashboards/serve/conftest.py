"""`dashboards serve` as a process, over the sample, and a browser that looks at it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Playwright, sync_playwright

from tests.conftest import BIN, Warehouse
from tests.waiting import end_of, read_until

SIZES = {"wide": (1400, 900), "narrow": (390, 844)}
SHOWN = "article:not([data-shown]):not([data-failed])"
_numbers = count()


@dataclass(frozen=True)
class Served:
    """A page that is served: where, by which process, and what that has logged."""

    address: str
    pid: int
    _log: Path

    @property
    def log(self) -> str:
        """All of it until now."""
        return self._log.read_text()


@contextmanager
def serving_page(warehouse: Warehouse, *options: str, **environment: str) -> Iterator[Served]:
    """A page for as long as the block lasts; then it ends as on `kill`."""
    warehouse.activate()
    log = warehouse.directory / f"serve-{next(_numbers)}.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [BIN / "dashboards", "serve", "--port", "0", *options],
            env={**os.environ, **environment}, cwd=warehouse.directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        [line] = read_until(process.stdout, "shows the dashboards")
        found = re.match(r"(http://\S+:\d+) shows the dashboards; Ctrl-C ends it\n", line)
        assert found, line
        yield Served(found[1], process.pid, log)
        process.send_signal(signal.SIGTERM)
        assert end_of(process)[0] == 128 + signal.SIGTERM
        assert log.read_text().splitlines()[-1] == "dashboards: terminated"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(sampled: Warehouse) -> Iterator[str]:
    """Where the page of the sample is."""
    with serving_page(sampled) as served:
        yield served.address


@dataclass
class Visit:
    """A page, and whatever went wrong in it."""

    size: str
    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go there, and wait until every tile has come."""
        self.page.goto(f"{self.address}{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until every tile is there."""
        self.page.wait_for_selector(SHOWN, state="detached")

    def filter(self, name: str) -> Locator:
        """The field of a filter."""
        return self.page.locator(f"form [name={name}]")

    @property
    def path(self) -> str:
        """Where it is."""
        return self.page.url.removeprefix(self.address)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What starts browsers."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(params=SIZES)
def visit(
    request: pytest.FixtureRequest, playwright: Playwright, chromium: str, address: str
) -> Iterator[Visit]:
    """A page in a browser of its own, which ends with all that it started.

    At the end nothing has gone wrong in it.
    """
    width, height = SIZES[request.param]
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(
        viewport={"width": width, "height": height}, timezone_id="America/Mexico_City"
    )
    visit = Visit(request.param, page, address)
    page.on("console", lambda message: visit.troubles.append(message.text))
    page.on("pageerror", lambda error: visit.troubles.append(str(error)))
    yield visit
    page.goto("about:blank")
    browser.close()
    assert visit.troubles == []


def overlaps(page: Page) -> list[str]:
    """Tiles and headings that lie on each other, or stick out of the page."""
    found: list[str] = page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll(".grid > *")].map(
                (each) => [each.id, each.getBoundingClientRect()]);
            const out = [];
            boxes.forEach(([id, a], n) => {
                if (a.left < 0 || a.right > innerWidth + 1) out.push(`${id} sticks out`);
                for (const [other, b] of boxes.slice(0, n))
                    if (a.left < b.right - 1 && b.left < a.right - 1
                        && a.top < b.bottom - 1 && b.top < a.bottom - 1)
                        out.push(`${id} lies on ${other}`);
            });
            return out;
        }"""
    )
    return found


def labels(page: Page) -> list[list[str]]:
    """What can be read at each axis of each chart."""
    axes = page.locator(".chart .role-axis-label").all()
    return [axis.locator("text:not([opacity='0'])").all_text_contents() for axis in axes]
