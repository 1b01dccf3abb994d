"""What the live page answers, asked over HTTP."""

import csv
import html
import io
import json
import re
from typing import get_args
from urllib.parse import parse_qsl

import pytest
import requests

from dashboards.definitions import load_dashboards
from dashboards.questions import load_questions
from docs import messages
from loader.alerts.known import Event
from loader.alerts.message import message
from tests.conftest import Warehouse
from tests.integration.dashboards.serve.conftest import serving_page
from tests.waiting import wait_for


def get(address: str, path: str, **headers: str) -> requests.Response:
    return requests.get(f"{address}{path}", headers=headers, timeout=60, allow_redirects=False)


TILES = [
    (name, str(tile.question))
    for name, dashboard in load_dashboards().items()
    for tile in dashboard.tiles
    if tile.question
]


def test_the_first_dashboard_is_where_one_arrives(address: str) -> None:
    found = get(address, "/")
    assert found.status_code == 307
    assert found.headers["location"] == f"/dashboards/{next(iter(load_dashboards()))}"


@pytest.mark.parametrize("name", load_dashboards())
def test_a_page_has_the_market_its_filters_and_the_places_of_its_tiles(
    address: str, sampled: Warehouse, name: str
) -> None:
    page = get(address, f"/dashboards/{name}").text
    dashboard = load_dashboards()[name]
    for book, state in sampled.rows("select book, state from marts.states_at(null)"):
        assert re.search(rf'class="book {state}".*>{book}</a> <b>{state}</b> seen \d', page)
    for each in dashboard.filters:
        assert f'name="{each}"' in page
    sources = re.findall(r'data-src="([^"]+)"', page)
    asked = [tile.question for tile in dashboard.tiles if tile.question]
    assert sources == [f"/dashboards/{name}/tiles/{question}" for question in asked]
    # Nothing of them holds the page.
    assert "<table>" not in page
    assert "<script>" not in page
    assert "style=" not in page
    places = get(address, f"/dashboards/{name}/places.css")
    assert places.headers["content-type"].startswith("text/css")
    for tile in dashboard.tiles:
        assert f"#{name}-{tile.key} " in places.text
        assert f'id="{name}-{tile.key}"' in page


@pytest.mark.parametrize(("name", "question"), TILES)
def test_each_tile_answers_by_itself(address: str, name: str, question: str) -> None:
    found = get(address, f"/dashboards/{name}/tiles/{question}")
    assert found.status_code == 200
    assert 'class="error"' not in found.text
    assert "<summary>SQL</summary>" in found.text
    assert f'href="/questions/{question}.csv' in found.text
    assert re.search(r"as of <time [^>]+>\d\d:\d\d:\d\d UTC", found.text)


def test_what_is_chosen_reaches_the_tiles_and_the_links(address: str) -> None:
    query = "book=USD_MXN&from=2026-01-05T13:00:00Z&to=2026-01-05T13:30:00Z&refresh=60"
    page = get(address, f"/dashboards/spread-monitor?{query}").text
    assert 'name="book" value="USD_MXN"' in page
    assert '<option value="60" selected>' in page
    sources = [each.replace("&amp;", "&") for each in re.findall(r'data-src="([^"]+)"', page)]
    assert len(sources) == 8
    for source in sources:
        tile = get(address, source)
        assert tile.status_code == 200
        # As the name is known, whatever its case.
        if "book_named(" in tile.text:
            assert "book_named(&#39;usd_mxn&#39;)" in tile.text
            assert "btc_mxn" not in tile.text
    minutes = next(each for each in sources if "spread-by-minute" in each)
    assert "from: 2026-01-05T13:00:00+00:00" in get(address, minutes).text


def test_an_answer_is_a_file_as_the_command_line_has_it(address: str, sampled: Warehouse) -> None:
    for question in load_questions():
        told = {form: get(address, f"/questions/{question}.{form}") for form in ("csv", "json")}
        assert [each.status_code for each in told.values()] == [200, 200], question
        rows = list(csv.reader(io.StringIO(told["csv"].text)))
        assert len(rows) - 1 == len(json.loads(told["json"].text))
    path = "/questions/spread-alerts.csv?book=btc_mxn&threshold=0.1"
    same = sampled.call(
        "dashboards", "ask", "spread-alerts", "--book", "btc_mxn", "--threshold", "0.1",
        "--format", "csv",
    )  # fmt: skip
    assert get(address, path).text == same.stdout
    assert 'filename="spread-alerts.csv"' in get(address, path).headers["content-disposition"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/dashboards/spread-monitr", 404,
         "no such dashboard: 'spread-monitr': did you mean spread-monitor?"),
        ("/dashboards/alerts/tiles/open-alrts", 404,
         "alerts has no tile 'open-alrts': did you mean open-alerts?"),
        ("/dashboards/alerts?bok=btc_mxn", 400, "alerts has no filter 'bok': did you mean book?"),
        ("/dashboards/alerts?book=a&book=b", 400, "book is there twice"),
        ("/dashboards/alerts?refresh=1", 400, "refresh must be off or 10 or 60, not '1'"),
        ("/dashboards/alerts?book=btc_mnx", 400,
         "open-alerts: book: 'btc_mnx' is not known: did you mean btc_mxn?"),
        ("/dashboards/alerts/tiles/open-alerts?book=btc_mnx", 400,
         "open-alerts: book: 'btc_mnx' is not known: did you mean btc_mxn?"),
        ("/dashboards/user-activity?status=complet", 400,
         "active-users: status must be complete or any, not 'complet': did you mean complete?"),
        ("/dashboards/user-activity?user_id=nobody", 400,
         "login-count: user_id: nobody is known by that name"),
        ("/dashboards/alerts?from=2026-01-02&to=2026-01-01", 400,
         "alerts-by-day: from must not be after to"),
        ("/questions/spread-alert.csv", 404,
         "there is no 'spread-alert.csv': did you mean spread-alerts.csv?"),
        ("/questions/spread-alerts.xls", 404,
         "there is no 'spread-alerts.xls': did you mean spread-alerts.csv?"),
        ("/questions/spread-alerts.csv?bok=1", 400,
         "spread-alerts has no parameter 'bok': did you mean book?"),
        ("/static/..%2f..%2fcli.py", 404, None),
        ("/nothing", 404, "Not Found"),
        ("/dashboards/alerts?book=%00", 400, None),
        ("/dashboards/alerts?book=%ff", 400, None),
        ("/dashboards/alerts?book=%0a<script>", 400, None),
    ],
)  # fmt: skip
def test_wrong_addresses_are_told_in_one_line(
    address: str, path: str, status: int, said: str | None
) -> None:
    found = get(address, path)
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(found.text.splitlines()) == 1
    if said:
        assert found.text == f"{said}\n"
    shown = get(address, path, Accept="text/html")
    assert shown.status_code == status
    assert "<script>" not in shown.text
    # Who has typed the address of a page sees one; what a page fetches stays a line.
    is_page = not re.search(r"/tiles/|^/questions/", path)
    kind = "text/html" if is_page else "text/plain"
    assert shown.headers["content-type"] == f"{kind}; charset=utf-8"
    if is_page:
        for dashboard in load_dashboards():
            assert f'<a href="/dashboards/{dashboard}"' in shown.text
        [told] = re.findall(r'role="alert">(.*?)</p>', shown.text)
        assert status == 404 or html.unescape(told) == found.text.rstrip("\n")
        # Beside what is no filter: the last of each.
        for name, value in dict(parse_qsl(path.partition("?")[2])).items():
            if f'name="{name}"' in shown.text and name != "refresh":
                typed = html.escape(value)
                in_form = f'name="{name}" value="{typed}"', f"<option selected>{typed}</option>"
                assert any(each in shown.text for each in in_form), name


def test_files_of_the_page_are_kept_as_long_as_they_are_the_same(address: str) -> None:
    for name in ("page.css", "page.js", "live.js", "vega.js"):
        first = get(address, f"/static/{name}")
        again = get(address, f"/static/{name}", **{"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code) == (200, 304)
        assert again.content == b""


def test_an_error_is_a_number_that_the_log_names(sampled: Warehouse) -> None:
    with serving_page(sampled) as served:
        address = served.address
        sampled.rows("alter table marts.user_level_current rename to hidden")
        try:
            tile = get(address, "/dashboards/user-activity/tiles/user-levels").text
            file = get(address, "/questions/user-levels.csv")
        finally:
            sampled.rows("alter table marts.hidden rename to user_level_current")
        assert file.status_code == 503
        for text in (tile, file.text):
            found = re.search(r"error ([0-9a-f]{8}), which the log of the server explains", text)
            assert found
            assert re.search(rf"error {found[1]}: .*user_level_current", served.log)
        shown = tile[: tile.index("<footer>")]
        assert "user_level_current" not in shown + file.text
        # What is kept for a second is not kept for longer.
        path = "/dashboards/user-activity/tiles/user-levels"
        wait_for(lambda: 'class="error"' not in get(address, path).text, "the answer")


def test_without_a_database_the_page_says_so(sampled: Warehouse) -> None:
    with serving_page(sampled, WAREHOUSE_PORT="9") as served:
        address = served.address
        page = get(address, "/dashboards/spread-monitor")
        assert page.status_code == 200
        assert "What the market is like is not known: error " in page.text
        assert get(address, "/healthz").status_code == 503
        assert get(address, "/dashboards/alerts/tiles/open-alerts").status_code == 503


def test_health(address: str) -> None:
    assert (get(address, "/healthz").status_code, get(address, "/healthz").text) == (200, "ok\n")


@pytest.mark.parametrize("event", get_args(Event))
def test_a_message_of_an_alert_leads_to_its_book_and_minutes(address: str, event: Event) -> None:
    sent = message(messages._notice(event), messages._COVERAGE, messages._ENDING, f"{address}/")
    link = sent.facts["page"]
    assert f"page: {link}" in sent.body.splitlines()
    page = requests.get(link, timeout=60)
    assert page.status_code == 200
    assert 'name="book" value="btc_mxn"' in page.text
    source = re.search(r'data-src="([^"]+spread-by-minute[^"]+)"', page.text)
    assert source
    tile = get(address, source[1].replace("&amp;", "&"))
    assert re.search(r"from: 2026-01-05T1[23]:\d\d:00", tile.text)
    # Who has set no address gets no link.
    assert "page" not in message(messages._notice(event), messages._COVERAGE, None).facts
