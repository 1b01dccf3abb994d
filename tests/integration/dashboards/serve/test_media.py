"""The live page on paper, in the dark, and for who wants nothing to move."""

import pytest
from playwright.sync_api import Page

from dashboards.definitions import load_dashboards
from tests.integration.dashboards.serve.conftest import Visit, labels, overlaps
from tests.waiting import wait_for

# Paper has one width, and the wider screen has more labels.
pytestmark = pytest.mark.parametrize("visit", ["wide"], indirect=True)
# A4 between margins of 12 mm, in CSS pixels.
PAPER = {"width": 703, "height": 1032}
# What is of no use on paper.
CONTROLS = "input, select, summary, form, header, .file, .skip, .zoom, .live .end"


def clipped(page: Page) -> list[str]:
    """What reaches beyond the tile that it is in, or cannot be seen without scrolling."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("article")].flatMap((tile) => {
            const box = tile.getBoundingClientRect();
            return [...tile.querySelectorAll(".body, .body *, footer > *")].filter((it) => {
                const at = it.getBoundingClientRect();
                const scrolls = it.scrollWidth > it.clientWidth + 1
                    || it.scrollHeight > it.clientHeight + 1;
                const hides = getComputedStyle(it).overflow !== "visible" && scrolls;
                return hides || at.right > box.right + 1 || at.bottom > box.bottom + 1;
            }).map((it) => `${tile.id}: ${it.outerHTML.slice(0, 80)}`);
        })"""
    )
    return found


def colours(page: Page) -> set[str]:
    """Those of the text, and of the words at the axes."""
    found: list[str] = page.evaluate(
        """() => [getComputedStyle(document.body).color,
            ...[...document.querySelectorAll(".chart .role-axis-label text")]
                .map((it) => getComputedStyle(it).fill)]"""
    )
    return set(found)


@pytest.mark.parametrize("name", load_dashboards())
def test_paper_has_all_of_every_tile_and_nothing_to_press(visit: Visit, name: str) -> None:
    visit.open(f"/dashboards/{name}")
    page = visit.page
    light = colours(page)
    shown = page.locator("tbody tr").count()
    page.emulate_media(media="print", color_scheme="dark")
    # As the browser says before it prints; what it prints is narrower than most screens.
    page.set_viewport_size(PAPER)  # type: ignore[arg-type]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert clipped(page) == []
    assert overlaps(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    assert page.locator(CONTROLS).locator("visible=true").count() == 0
    assert page.locator("tbody tr").locator("visible=true").count() == shown
    for chart in page.locator(".chart svg").all():
        box = chart.bounding_box()
        assert box
        # It is drawn for paper, and not shrunk until nobody can read it.
        assert box["width"] > PAPER["width"] * 0.8
    assert all(len(set(words)) == len(words) > 0 for words in labels(page))
    assert colours(page) == light


def test_a_printed_page_is_as_it_was_on_the_screen(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor")
    page = visit.page
    chart = page.locator("#spread-monitor-spread-by-second svg")
    before = chart.bounding_box()
    assert page.pdf(format="A4").startswith(b"%PDF")
    wait_for(lambda: chart.bounding_box() == before, "the chart as it was")


def test_the_dark_has_other_colours_in_charts_as_well(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor")
    page = visit.page
    light = colours(page)
    page.locator("#theme").click()
    assert colours(page).isdisjoint(light)
    page.locator("#theme").click()
    assert colours(page) == light


def test_nothing_moves_for_who_wants_no_motion(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor")
    page = visit.page
    scrolling = "getComputedStyle(document.documentElement).scrollBehavior"
    assert page.evaluate(scrolling) == "smooth"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(scrolling) == "auto"
    moving = page.evaluate(
        """() => document.getAnimations().length + [...document.querySelectorAll("*")].filter(
            (it) => getComputedStyle(it).transitionDuration !== "0s"
                || getComputedStyle(it).animationName !== "none").length"""
    )
    assert moving == 0


@pytest.mark.parametrize(
    ("since", "until"),
    # The recording begins at noon: a minute of it, five, and eleven.
    [("11:00:00", "12:01:00"), ("11:00:00", "12:05:00"), ("13:38:00", "13:49:00")],
)
def test_labels_are_each_once_however_far_one_zooms(visit: Visit, since: str, until: str) -> None:
    day = "2026-01-05T"
    visit.open(f"/dashboards/spread-monitor?from={day}{since}Z&to={day}{until}Z")
    found = labels(visit.page)
    assert found
    assert all(len(set(words)) == len(words) > 0 for words in found)


def test_what_a_refresh_takes_away_is_not_kept(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    visit.open("/dashboards/spread-monitor?refresh=10")
    chrome = page.context.new_cdp_session(page)

    def listeners() -> int:
        chrome.send("HeapProfiler.collectGarbage")
        return int(chrome.send("Memory.getDOMCounters")["jsEventListeners"])

    before, last = listeners(), page.locator("article").last
    for n in range(2, 8):
        page.clock.run_for(10_500)
        shown = f"article:not([data-shown='{n}'])"
        wait_for(lambda shown=shown: not page.locator(shown).count(), "a refresh")  # type: ignore[misc]
    assert last.get_attribute("data-shown") == "7"
    assert listeners() <= before + 10
