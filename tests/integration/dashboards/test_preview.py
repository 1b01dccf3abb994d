"""`dashboards preview`, looked at with a real browser: what people see, and what must not happen.

Where there is no Chromium these tests are skipped; with REQUIRE_CHROMIUM set they fail.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, sync_playwright

from dashboards import preview
from dashboards.definitions import Dashboard, load_dashboards, parse_dashboard
from dashboards.questions import load_questions, parse_question
from loader.warehouse.errors import TransientError
from loader.warehouse.ledger import monitored
from tests import market
from tests.conftest import Server, Warehouse
from tests.watch import Watch

HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><!--{{ 7*7 }}"
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def full(server: Server, sampled: Warehouse) -> Iterator[Warehouse]:
    """The samples, ten minutes of the stream, an alert that is open, and a hostile exchange."""
    warehouse = server.database("preview", sampled.where.db)
    watch = Watch(4)
    watch.run(300)
    watch.run(300, stops=True)
    # An alert is only open as long as its book is seen.
    now = datetime.now(UTC).replace(microsecond=0)
    wide = [
        market.Quote("btc_mxn", now - timedelta(seconds=n), "ticker", Decimal(97), Decimal(100))
        for n in range(3)
    ]
    market.load(warehouse, wide)
    minute = timedelta(minutes=1)
    watched = monitored.Watch(
        "ticker", minute, ("btc_mxn",), now - 30 * minute, now, is_recorded=True
    )
    market.watch(warehouse, watched)
    warehouse.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    warehouse.rows(
        "update marts.exchange_volumes set exchange_name = %s where exchange_rank = 2", HOSTILE
    )
    yield warehouse
    server.drop(warehouse)


@pytest.fixture(scope="module")
def file(full: Warehouse) -> Path:
    """The page, as the command writes it."""
    path = full.directory / "page.html"
    done = full.run("dashboards", "preview", "--out", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"wrote {path}\n", "")
    return path


@pytest.fixture(scope="module")
def page(file: Path, chromium: str) -> Iterator[Page]:
    """The page in the browser, which keeps whatever goes wrong in `page.troubles`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport=DESKTOP,  # type: ignore[arg-type]
            timezone_id="America/Mexico_City",
        )
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn=yes]")
        page.troubles = troubles  # type: ignore[attr-defined]
        yield page
        browser.close()


def test_the_page_is_small_and_the_same_again(full: Warehouse, file: Path) -> None:
    assert 500_000 < file.stat().st_size < 5_000_000
    again = full.directory / "again.html"
    assert full.call("dashboards", "preview", "--out", str(again)).returncode == 0
    # Beside how old it is, the market of this moment, and for how long its spread has held.
    dated = re.compile(
        rb"As it was at [^.]+|today|yesterday|[\d,]+ (s|min|h|days) ago|"
        rb"<article[^>]*-spread-(now|quality)\">.*?</article>",
        re.DOTALL,
    )
    assert dated.sub(b"", again.read_bytes()) == dated.sub(b"", file.read_bytes())
    assert len(dated.findall(file.read_bytes())) > 20


@pytest.mark.parametrize("name", load_dashboards())
def test_every_tile_is_there_and_shows_something(page: Page, name: str) -> None:
    for tile in load_dashboards()[name].tiles:
        if tile.heading:
            assert page.locator(f"#{name} h2", has_text=tile.heading).count() == 1
            continue
        question = load_questions()[str(tile.question)]
        panel = page.locator(f"#{name}-{question.name}")
        assert panel.locator("h3").inner_text() == question.title
        assert panel.locator(".about").inner_text().strip() == question.description.strip()
        assert panel.locator(".empty, .error").count() == 0, question.name
        box = panel.bounding_box()
        assert box
        assert box["width"] > 100
        if question.display == "table":
            assert panel.locator("tbody tr").count() > 0
        elif question.display == "scalar":
            assert re.search(r"\d", panel.locator(".figure").inner_text())
        else:
            marks = ".mark-line path" if question.display == "line" else ".mark-rect path"
            assert panel.locator(f"svg {marks}").count() > 0, question.name


def test_nothing_goes_wrong_and_nothing_is_fetched(page: Page, file: Path) -> None:
    assert page.troubles == [file.as_uri()]  # type: ignore[attr-defined]


def test_data_is_never_a_page_of_its_own(page: Page) -> None:
    assert page.title() == "Bitso warehouse: dashboards"
    assert page.locator("img").count() == 0
    volumes = page.locator("#markets-and-exchanges-exchange-volumes")
    assert volumes.locator("td", has_text=HOSTILE).count() == 1
    chart = page.locator("#markets-and-exchanges-largest-exchanges")
    assert "</script>" in str(chart.locator("svg").text_content())
    second = chart.locator(".mark-rect path").nth(1)
    assert HOSTILE in tooltip(page, second)
    assert page.title() == "Bitso warehouse: dashboards"
    assert page.locator("img").count() == 0


def tooltip(page: Page, mark: Locator) -> str:
    """What is said when the pointer rests on a mark."""
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box
    page.mouse.move(0, 0)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = page.locator("#vg-tooltip-element.visible")
    told.wait_for()
    return told.inner_text()


def test_what_the_pointer_rests_on_is_told_in_utc(full: Warehouse, page: Page) -> None:
    """The browser is in Mexico, the page is not."""
    latest = page.locator("#spread-monitor-spread-by-second .mark-symbol path").last
    told = tooltip(page, latest)
    [(at,)] = full.rows("select max(orderbook_timestamp) from marts.spread_observations "
                        "where book = 'btc_mxn' and is_primary")  # fmt: skip
    assert f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in told
    assert re.search(r"Spread \(%\)\s+\d", told)
    day = page.locator("#user-activity-active-users-by-day .mark-rect path").last
    [(date, users)] = full.rows("select activity_date, active_users from marts.daily_active_users "
                                "where status = 'complete' order by 1 desc limit 1")  # fmt: skip
    assert re.search(rf"Day\s+{date}\s+Active users\s+{users}\b", tooltip(page, day))


def test_axes_have_words_units_and_whole_days(page: Page) -> None:
    def texts(panel: str) -> list[str]:
        return page.locator(f"#{panel} svg text").all_text_contents()

    minutes = texts("spread-monitor-spread-by-minute")
    assert {"Largest spread (%)", "Average spread (%)", "Spread (%)"} <= set(minutes)
    assert any(re.fullmatch(r"Time, \d\d \w{3} \d{4}, UTC", text) for text in minutes)
    # The thresholds are named where they are; no legend, no level that presses the line flat.
    assert [text for text in minutes if text.endswith(" %")] == ["0.1 %", "0.5 %", "1 %"]
    volumes = texts("markets-and-exchanges-largest-exchanges")
    assert "Volume (USD)" in volumes
    assert "1B" in volumes
    runs = texts("pipeline-health-runs-by-day")
    assert "succeeded" in runs
    days = [text for text in runs if re.fullmatch(r"\d\d \w{3}", text)]
    assert len(days) == len(set(days)) >= 7


def test_a_lone_day_is_a_bar_and_no_wall(page: Page) -> None:
    panel = page.locator("#pipeline-health-runs-by-day")
    bar, chart = panel.locator(".mark-rect path").first.bounding_box(), panel.bounding_box()
    assert bar
    assert chart
    assert 10 < bar["width"] < chart["width"] / 10


def test_the_latest_comes_first(page: Page) -> None:
    for panel in ("pipeline-health-pipeline-runs", "spread-monitor-observation-coverage"):
        cells = page.locator(f"#{panel} tbody td:nth-child(2)")
        times = [str(cell.get_attribute("data-key")) for cell in cells.all()]
        assert len(set(times)) > 1
        assert times == sorted(times, reverse=True)


def test_filters_and_sql_are_told(page: Page) -> None:
    said = page.locator(".dated").inner_text()
    assert re.match(r"As it was at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.", said)
    assert "its filters are fixed" in said
    chips = page.locator("#user-activity .filters")
    assert "complete" in chips.inner_text()
    panel = page.locator("#spread-monitor-spread-by-second")
    assert "book: btc_mxn" in panel.locator(".given").inner_text()
    assert not panel.locator("pre").is_visible()
    panel.locator("summary").click()
    assert "book_named('btc_mxn')" in panel.locator("pre").inner_text()
    panel.locator("summary").click()


def test_the_sql_that_is_shown_is_what_was_asked(full: Warehouse, page: Page) -> None:
    panel = page.locator("#user-activity-active-users-by-day")
    text = str(panel.locator("pre").text_content())
    rows = full.rows(text.replace("%", "%%"), role="reader")
    assert len(rows) == 90


def test_tables_are_sorted_by_a_click(page: Page) -> None:
    panel = page.locator("#markets-and-exchanges-exchange-volumes")
    header = panel.locator("th", has_text="Volume").locator("button")
    for way in ("ascending", "descending"):
        header.click()
        assert panel.locator(f"th[aria-sort={way}]").count() == 1
        texts = panel.locator("tbody td:nth-child(4)").all_inner_texts()
        numbers = [int(text.replace(",", "")) for text in texts if text]
        assert numbers == sorted(numbers, reverse=way == "descending")
        assert len(set(numbers)) > 20
        assert "" not in texts[: len(numbers)]


def test_cells_that_warn_are_painted(page: Page) -> None:
    panel = page.locator("#spread-monitor-observation-coverage")
    missing = panel.locator("td:nth-child(5)").all_inner_texts()
    assert panel.locator("td.warn").count() == sum(text != "0" for text in missing)
    assert panel.locator("td.warn").count() > 0


def test_light_dark_and_the_width_of_a_phone(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.evaluate(paper) != light
    page.locator("#theme").click()
    assert page.evaluate(paper) == light
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for panel in page.locator("article").all():
        box = panel.bounding_box()
        assert box
        assert box["width"] > PHONE["width"] * 0.85
    for chart in page.locator(".chart").all():
        drawn, place = chart.locator("svg").bounding_box(), chart.bounding_box()
        assert drawn
        assert place
        assert drawn["width"] <= place["width"]
    # What opens can be closed again.
    panel = page.locator("#spread-monitor-spread-by-second")
    for is_visible in (True, False):
        panel.locator("summary").click()
        assert panel.locator("pre").is_visible() == is_visible
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


# What may be wrong with a question, without a browser.


BOARD = """\
title: Trial
description: One tile.
tiles:
  - question: jobs
    at: {row: 0, col: 0, width: 24, height: 6}
"""
TRIAL = "/*\ntitle: Trial\ndescription: A trial.\ndisplay: table\n*/\n"


def trial(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch, front: str, sql: str, board: str = BOARD
) -> tuple[list[str], str]:
    full.activate()
    question = parse_question("jobs", front + sql)
    monkeypatch.setattr(Dashboard, "question_of", lambda *_: question)
    path = full.directory / "trial.html"
    problems = preview.preview(path, [parse_dashboard("trial", board)])
    text = path.read_text()
    return problems, text[text.index("<main>") : text.index("</main>")]


def test_a_question_that_fails_says_so_in_its_tile(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, text = trial(full, monkeypatch, TRIAL, "select 1 / 0 as one")
    assert problems == ["trial, jobs: Postgres: division by zero"]
    assert '<p class="error">Postgres: division by zero</p>' in text


def test_a_column_that_is_not_there_is_named(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = TRIAL.replace("display: table", "display: bar\nchart: {x: day, y: [rows]}")
    problems, _ = trial(full, monkeypatch, front, "select current_date as day")
    assert problems == ["trial, jobs: its answer has no column 'rows'"]


@pytest.mark.parametrize(
    ("front", "sql", "said"),
    [
        ("display: bar\nchart: {x: day, y: [n]}", "current_date as day, 'ten' as n",
         "its column 'n' is no number"),
        ("display: bar\nchart: {x: day, y: [n]}", "'monday' as day, 1 as n",
         "its column 'day' is no time"),
        ("display: line\nchart: {x: day, y: [n]}", "null::date as day, 1 as n",
         "its column 'day' has rows without a time that can be drawn"),
        ("display: line\nchart: {x: day, y: [n]}", "date 'infinity' as day, 1 as n",
         "its column 'day' has rows without a time that can be drawn"),
        ("display: bar\nchart: {x: day, y: [n]}", "date '9999-12-31' as day, 1 as n",
         "its column 'day' has rows without a time that can be drawn"),
        ("display: bar\nchart: {x: day, y: [n]}", "date '0044-03-15 BC' as day, 1 as n",
         "its column 'day' has rows without a time that can be drawn"),
        ("display: table\ncolumns: {n: {warn: {operator: '>', value: 0}}}", "'ten' as n",
         "its column 'n' is no number"),
    ],
)  # fmt: skip
def test_a_column_of_the_wrong_kind_is_named(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch, front: str, sql: str, said: str
) -> None:
    problems, text = trial(
        full, monkeypatch, TRIAL.replace("display: table", front), f"select {sql}"
    )
    assert problems == [f"trial, jobs: {said}"]
    assert f'<p class="error">{said.replace(chr(39), "&#39;")}</p>' in text


def test_numbers_that_are_none_or_huge(full: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    front = TRIAL.replace("display: table", "display: table\ncolumns: {n: {decimals: 2, "
                          "warn: {operator: '>', value: 0}}}")  # fmt: skip
    sql = "select n from unnest('{NaN, Infinity, 1e40, null}'::numeric[]) as n"
    problems, text = trial(full, monkeypatch, front, sql)
    assert problems == []
    shown = re.findall(r'<td class="number( warn)?"[^>]*>([^<]*)</td>', text)
    assert shown == [(" warn", "NaN"), (" warn", "Infinity"), (" warn", f"{10**40:,}.00"), ("", "")]
    front = TRIAL.replace("display: table", "display: line\nchart: {x: day, y: [n]}")
    sql = "select current_date as day, n from unnest('{NaN, Infinity, 1}'::numeric[]) as n"
    problems, text = trial(full, monkeypatch, front, sql)
    assert problems == []
    assert re.findall(r'"y": (\w+)', text)[:3] == ["null", "null", "1"]


def test_a_few_days_far_apart_are_a_small_page(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = TRIAL.replace("display: table", "display: bar\nchart: {x: day, y: [n]}")
    sql = "select d as day, 1 as n from unnest('{1026-01-01, 2026-01-01}'::date[]) as d"
    problems, text = trial(full, monkeypatch, front, sql)
    assert problems == []
    assert len(text) < 10_000


@pytest.mark.parametrize(
    ("kind", "times", "title", "form"),
    [
        ("date", "{2026-05-01}", "Day, 2026", "%d %b"),
        # The two weeks before it are shown too.
        ("date", "{2026-01-05}", "Day", "%d %b %Y"),
        ("timestamptz", "{2026-05-01 13:00+00}", "Day, 01 May 2026, UTC", "%H:%M"),
        ("timestamptz", "{2026-05-01 03:00+00}", "Day, 2026, UTC", "%d %b %H:%M"),
        ("timestamptz", "{2025-05-01 03:00+00, 2026-05-01 03:00+00}", "Day, UTC",
         "%d %b %Y %H:%M"),
    ],
)  # fmt: skip
def test_an_axis_says_once_what_all_its_times_share(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch, kind: str, times: str, title: str, form: str
) -> None:
    front = TRIAL.replace("display: table", "display: bar\nchart: {x: day, y: [n]}")
    sql = f"select day, 1 as n from unnest('{times}'::{kind}[]) as day"
    _, text = trial(full, monkeypatch, front, sql)
    x = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])[
        "layer"][0]["encoding"]["x"]  # fmt: skip
    assert (x["title"], x["axis"]["format"]) == (title, form)


@pytest.mark.parametrize("display", ["display: bar\nchart: {x: n, y: [m]}", "display: table",
                                     "display: scalar"])  # fmt: skip
def test_no_rows_are_no_chart(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch, display: str
) -> None:
    front = TRIAL.replace("display: table", display)
    problems, text = trial(full, monkeypatch, front, "select current_date as n, 1 as m where false")
    assert problems == []
    assert '<p class="empty">No rows</p>' in text
    assert "chart" not in text


def test_no_rows_in_the_words_of_the_tile(full: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    board = f"{BOARD}    empty: All is calm.\n"
    _, text = trial(full, monkeypatch, TRIAL, "select 1 as n where false", board)
    assert '<p class="empty">All is calm.</p>' in text


def test_a_million_rows_are_capped_and_that_is_said(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    million = "select generate_series(1, 1000000) as n"
    problems, text = trial(full, monkeypatch, TRIAL, million)
    assert problems == []
    assert "The first 500 rows of more" in text
    assert text.count("<tr>") == 501
    assert 'class="number">500</td>' in text


def test_of_too_many_rows_the_latest_are_shown(
    full: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = ("select timestamptz '2026-01-01 00:00+00' + n / 2 * interval '1 minute' as at, n "
           "from generate_series(1, 600) as n")  # fmt: skip
    board = f"{BOARD}    latest_first: at\n"
    problems, text = trial(full, monkeypatch, TRIAL, sql, board)
    assert problems == []
    assert "The latest 500 rows of more" in text
    # What has the same time keeps its order.
    numbers = [int(n) for n in re.findall(r'class="number">(\d+)</td>', text)]
    assert numbers == sorted(range(101, 601), key=lambda n: -(n // 2))
    problems, _ = trial(full, monkeypatch, TRIAL, "select 1 as n", board)
    assert problems == ["trial, jobs: its answer has no column 'at'"]


def test_no_answer_in_time(full: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_QUESTION_TIMEOUT_SECONDS", "1")
    problems, _ = trial(full, monkeypatch, TRIAL, "select pg_sleep(5)::text as slept")
    assert problems == ["trial, jobs: no answer in time: see WAREHOUSE_QUESTION_TIMEOUT_SECONDS"]


def test_the_command_tells_what_failed_and_still_writes_the_page(full: Warehouse) -> None:
    path = full.directory / "failed.html"
    full.rows("alter table marts.user_level_current rename to hidden")
    try:
        done = full.call("dashboards", "preview", "user-activity", "--out", str(path))
    finally:
        full.rows("alter table marts.hidden rename to user_level_current")
    assert done.returncode == 1
    assert re.fullmatch(r"dashboards: user-activity, user-levels: [^\n]+\n", done.stderr)
    assert "user_level_current" in path.read_text()


def test_wrong_usage(full: Warehouse) -> None:
    done = full.call("dashboards", "preview", "alert")
    assert (done.returncode, done.stderr) == (
        2, "dashboards: no such dashboard: alert: did you mean alerts?\n",
    )  # fmt: skip
    done = full.call("dashboards", "preview", "--out", "/proc/none/page.html")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_no_database_is_no_page(full: Warehouse) -> None:
    path = full.directory / "none.html"
    done = full.call("dashboards", "preview", "--out", str(path), WAREHOUSE_PORT="9")
    assert done.returncode == TransientError("").exit_code
    assert len(done.stderr.splitlines()) == 1
    assert not path.exists()
