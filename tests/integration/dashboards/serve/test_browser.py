"""The live page in a real browser, wide and narrow: filters, zoom, refresh, and keys alone."""

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Page

from dashboards.definitions import load_dashboards
from dashboards.questions import load_questions, tables_of
from dashboards.serve.app import CONNECTIONS
from loader.warehouse.postgres.connection import connect
from tests.integration.dashboards.serve.conftest import Visit, labels, overlaps
from tests.waiting import wait_for

NOT_NOW = re.compile(r"As it was at \d\d:\d\d:\d\d UTC\. How it is now is not known\.")
# Of rows that look alike a few are enough to look at.
ALIKE = '[["tbody tr:nth-child(n + 4)"]]'


@pytest.mark.parametrize("name", load_dashboards())
def test_every_tile_comes_and_nothing_is_wrong_with_the_page(visit: Visit, name: str) -> None:
    visit.open(f"/dashboards/{name}")
    page = visit.page
    assert page.locator(".error").count() == 0
    assert overlaps(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("aria-label")
        marks = chart.locator(".mark-rect path, .mark-line path").all()
        widths = [box["width"] for mark in marks if (box := mark.bounding_box())]
        assert max(widths) > 1
        inner, outer = chart.locator("svg").bounding_box(), chart.bounding_box()
        assert inner
        assert outer
        assert inner["width"] <= outer["width"] + 1
    for words in labels(page):
        assert words
        assert len(set(words)) == len(words)
    assert violations(page, resultTypes=["violations"]) == []
    page.emulate_media(color_scheme="dark")
    scheme = "document.documentElement.style.colorScheme"
    wait_for(lambda: page.evaluate(scheme) == "dark", "the dark colours")
    assert violations(page, runOnly=["color-contrast"]) == []


def violations(page: Page, **options: object) -> list[str]:
    """What axe-core finds wrong, each with the first place where it does."""
    page.evaluate(Path(AXE_FILE_PATH).read_text())
    found = page.evaluate(f"axe.run({{exclude: {ALIKE}}}, {json.dumps(options)})")
    return [
        f"{each['id']}: {each['nodes'][0]['target']} {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
    ]


def test_a_filter_is_in_the_address_and_the_address_brings_it_back(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor")
    page = visit.page
    visit.filter("book").fill("usd_mxn")
    visit.filter("by").select_option("day")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**?*")
    visit.settle()
    assert visit.path == "/dashboards/spread-monitor?book=usd_mxn&by=day"
    assert visit.filter("book").input_value() == "usd_mxn"
    assert visit.filter("by").input_value() == "day"
    given = page.locator("#spread-monitor-spread-by-second .given")
    assert "book: usd_mxn" in str(given.text_content())
    page.go_back()
    visit.settle()
    assert "book: btc_mxn" in str(given.text_content())
    # The form says what the address does, whatever the browser remembers.
    assert (visit.filter("book").input_value(), visit.filter("by").input_value()) == ("", "")
    page.go_forward()
    visit.settle()
    page.get_by_role("link", name="All as it was").click()
    page.wait_for_url("**/spread-monitor")


def test_a_wrong_value_is_told(visit: Visit) -> None:
    visit.page.goto(f"{visit.address}/dashboards/spread-monitor?book=btc_mnx")
    assert "did you mean btc_mxn?" in visit.page.get_by_role("alert").inner_text()
    # Where it can be put right.
    assert visit.filter("book").input_value() == "btc_mnx"
    assert visit.page.get_by_role("link", name="Alerts").count() == 1
    assert visit.page.locator("article").count() == 0
    # The browser tells of it too.
    [told] = visit.troubles
    assert "400" in told
    visit.troubles.clear()


def test_zoom_into_an_hour_by_its_link(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor?book=btc_mxn")
    panel = visit.page.locator("#spread-monitor-spread-breaches")
    panel.locator(".zoom summary").click()
    link = panel.locator(".zoom a").first
    first, last = (int(str(link.get_attribute(f"data-{end}"))) for end in ("first", "last"))
    assert last - first in (86_399, 3_599, 1_799)
    link.click()
    visit.page.wait_for_url("**from=*")
    visit.settle()
    assert re.fullmatch(
        r"/dashboards/spread-monitor\?book=btc_mxn&from=2026-01-[^&]+&to=2026-01-[^&]+", visit.path
    )
    assert visit.filter("from").input_value().endswith("Z")
    assert visit.page.locator(".error").count() == 0


def test_zoom_by_a_click_on_a_chart(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor")
    panel = visit.page.locator("#spread-monitor-spread-breaches")
    panel.scroll_into_view_if_needed()
    # Of those without a breach there is nothing to point at.
    box = next(
        box
        for bar in panel.locator(".mark-rect path").all()
        if (box := bar.bounding_box()) and box["height"] > 2
    )
    visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.wait_for_url("**from=*")
    visit.settle()


def test_a_refresh_leaves_everything_where_it_is(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    visit.open("/dashboards/spread-monitor?refresh=10")
    tile = page.locator("#spread-monitor-observation-coverage")
    tile.locator("th button").nth(2).click()
    page.evaluate("document.activeElement.blur()")
    body = tile.locator(".body")
    body.evaluate("it => it.scrollTo(0, 120)")
    tile.scroll_into_view_if_needed()
    before = page.evaluate("scrollY"), body.evaluate("it => it.scrollTop")
    assert before[1] > 0
    in_use = page.locator("#spread-monitor-spread-by-second")
    in_use.evaluate("it => { it.querySelector('details').open = true }")
    page.clock.run_for(10_500)
    wait_for(lambda: tile.get_attribute("data-shown") == "2", "the refresh")
    assert (page.evaluate("scrollY"), body.evaluate("it => it.scrollTop")) == before
    assert tile.locator("th").nth(2).get_attribute("aria-sort") == "ascending"
    # What somebody has opened stays open.
    assert in_use.get_attribute("data-shown") == "1"
    assert in_use.locator("details[open]").count() == 1


def test_what_cannot_be_refreshed_is_marked_as_old(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    visit.open("/dashboards/alerts?refresh=10")
    page.route(re.compile("/tiles/|/market"), lambda route: route.abort())
    page.clock.run_for(10_500)
    wait_for(lambda: page.locator("article .asked.old").count(), "the marks")
    assert page.locator("article .asked").count() == page.locator("article .asked.old").count()
    assert "not brought anew: " in page.locator("article .asked").first.inner_text()
    assert_lost(page)
    # In every tile, above what it goes on showing.
    assert page.locator("article").count() == page.get_by_text(NOT_NOW).count()
    page.clock.run_for(10_500)
    assert page.locator("article").count() == page.get_by_text(NOT_NOW).count()
    # Until there are answers again.
    page.unroute_all()
    page.clock.run_for(10_500)
    wait_for(lambda: not page.locator(".old").count(), "new answers")
    assert page.get_by_text(NOT_NOW).count() == 0
    assert "not known" not in page.locator("#market").inner_text()
    page.goto("about:blank")
    # The browser tells of each that was cut off.
    assert {"net::ERR_FAILED" in each for each in visit.troubles} == {True}
    visit.troubles.clear()


def assert_lost(page: Page) -> None:
    """No book is called anything but not known, since when it was."""
    wait_for(lambda: page.locator("#market .asked.old").count(), "the mark")
    books = page.locator("#market .book").all_inner_texts()
    assert books
    for book in books:
        assert re.fullmatch(r"\w+ not known since \d\d:\d\d:\d\d UTC", book)


def test_a_page_that_nobody_refreshes_calls_no_book_calm(visit: Visit) -> None:
    visit.page.clock.install()
    visit.open("/dashboards/alerts")
    assert "not known" not in visit.page.locator("#market").inner_text()
    visit.page.clock.run_for(5 * 60_000)
    assert_lost(visit.page)
    for since in visit.page.locator(".asked .since").all():
        assert re.fullmatch(r", \d+ min ago", since.inner_text())
    # What is of another time stays as true as it was.
    of_now = visit.page.locator("article[data-of-now]")
    named = [each.name for each in load_questions().values() if each.is_of_now]
    tiles = [tile for tile in load_dashboards()["alerts"].tiles if tile.question in named]
    assert of_now.count() == len(tiles) > 0
    assert of_now.get_by_text(NOT_NOW).count() == len(tiles)
    assert visit.page.get_by_text(NOT_NOW).count() == len(tiles)


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_of_who_looks_may_be_another(visit: Visit, hours: int) -> None:
    visit.page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    visit.open("/dashboards/alerts")
    visit.page.clock.run_for(10_500)
    assert "not known" not in visit.page.locator("#market").inner_text()
    assert "ago" not in "".join(visit.page.locator(".asked").all_inner_texts())
    visit.page.clock.run_for(5 * 60_000)
    assert_lost(visit.page)


def test_a_pace_takes_effect_at_once(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    visit.open("/dashboards/alerts?book=btc_mxn")
    visit.filter("refresh").select_option("10")
    assert visit.path == "/dashboards/alerts?book=btc_mxn&refresh=10"
    tile = page.locator("article").first
    page.clock.run_for(10_500)
    wait_for(lambda: tile.get_attribute("data-shown") == "2", "the refresh")
    visit.filter("refresh").select_option("")
    assert visit.path == "/dashboards/alerts?book=btc_mxn"
    page.clock.run_for(60_500)
    assert tile.get_attribute("data-shown") == "2"
    assert page.locator("#market .book:has-text('not known')").count() == 0


def test_a_pace_stays_where_a_part_is_zoomed_into(visit: Visit) -> None:
    visit.open("/dashboards/spread-monitor?book=btc_mxn&refresh=off")
    pace = visit.filter("refresh")
    assert pace.evaluate("it => it.selectedOptions[0].textContent") == "off"
    pace.select_option("60")
    panel = visit.page.locator("#spread-monitor-spread-breaches")
    panel.locator(".zoom summary").click()
    panel.locator(".zoom a").first.click()
    visit.page.wait_for_url("**from=*")
    visit.settle()
    assert visit.path.endswith("&refresh=60")
    assert pace.input_value() == "60"


def test_who_types_an_address_that_there_is_not_finds_the_way(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/dashboards/alrts")
    assert "did you mean alerts?" in page.get_by_role("alert").inner_text()
    assert violations(page, resultTypes=["violations"]) == []
    page.get_by_role("button", name="Light or dark").click()
    page.get_by_role("link", name="Alerts").click()
    page.wait_for_url("**/dashboards/alerts")
    visit.settle()
    [told] = visit.troubles
    assert "404" in told
    visit.troubles.clear()


def test_by_keys_alone(visit: Visit) -> None:
    visit.open("/dashboards/alerts")
    page = visit.page

    def focused(script: str) -> str:
        return str(page.evaluate(f"document.activeElement.{script}"))

    page.keyboard.press("Tab")
    assert focused("textContent") == "Skip to the tiles"
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "() => { const it = document.activeElement;"
            " return it.name || it.className || it.tagName.toLowerCase() }"
        )
        reached.add(name)
        visible = page.evaluate(
            "() => { const s = getComputedStyle(document.activeElement);"
            " return s.outlineStyle !== 'none' || document.activeElement === document.body }"
        )
        assert visible, name
        if focused("tagName") == "BODY":
            break
    assert {"book", "threshold", "from", "to", "refresh", "file", "summary"} <= reached
    visit.filter("book").focus()
    page.keyboard.type("btc_mxn")
    page.keyboard.press("Enter")
    page.wait_for_url("**book=btc_mxn")
    visit.settle()
    summary = page.locator("#alerts-spread-alerts summary", has_text="SQL")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#alerts-spread-alerts pre").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#alerts-spread-alerts pre").is_visible()
    assert focused("tagName") == "SUMMARY"


def test_a_slow_tile_holds_nobody(visit: Visit) -> None:
    table = "user_level_current"
    slow = [
        f"user-activity-{tile.question}"
        for tile in load_dashboards()["user-activity"].tiles
        if tile.question and table in tables_of(load_questions()[tile.question])
    ]
    assert 0 < len(slow) < CONNECTIONS
    waiting = visit.page.locator("article:not([data-shown])")
    with closing(connect()) as locking, locking, locking.cursor() as cursor:
        cursor.execute(f"lock table marts.{table} in access exclusive mode")
        # What was asked a moment ago would be answered as it was.
        currency = {"wide": "mxn", "narrow": "btc"}[visit.size]
        visit.page.goto(f"{visit.address}/dashboards/user-activity?currency={currency}")
        wait_for(lambda: waiting.count() == len(slow), lambda: f"all but {slow}")
        assert sorted(str(each.get_attribute("id")) for each in waiting.all()) == sorted(slow)
        assert visit.page.locator("#market .book").count() > 0
    visit.settle()
    assert visit.page.locator(".error").count() == 0
