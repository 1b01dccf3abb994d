"""`dashboards apply`, seen over HTTP only: by the stand-in always, by a real Metabase on request.

    export METABASE_PASSWORD=...
    make test-metabase METABASE_URL=http://localhost:3000

What is read from the environment; where one is not set, its WAREHOUSE_METABASE_... stands in:

METABASE_URL              the Metabase; without it the stand-in is started and used
METABASE_EMAIL, METABASE_PASSWORD
                          the account of its administrator, which is made if it has none
METABASE_READER_HOST, METABASE_READER_PORT, METABASE_READER_DB, METABASE_READER_USER,
METABASE_READER_PASSWORD  how that Metabase reaches a Postgres whose marts dbt has built

The tests bring the dashboards to that Metabase, change a card and a dashboard of ours by hand, and
leave everything as `dashboards apply` does. Nothing outside our collection is touched. Its own
contract is saved as metabase-openapi.json in WAREHOUSE_HOME (.warehouse).
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dashboards.definitions import load_dashboards
from dashboards.metabase import found, marks
from dashboards.questions import load_questions
from loader.warehouse.settings import get_settings
from tests import environment
from tests.metabase.difference import Call, differences
from tests.metabase.permissions import EVERYONE
from tests.metabase.rig import Client, Json, applied, dashboards
from tests.metabase.server import MetabaseStandIn

URL = os.environ.get("METABASE_URL", "")
GIVEN = {
    f"WAREHOUSE_{name}": os.environ[name]
    for name in (
        "METABASE_EMAIL", "METABASE_PASSWORD", "METABASE_READER_HOST", "METABASE_READER_PORT",
        "METABASE_READER_DB", "METABASE_READER_USER", "METABASE_READER_PASSWORD",
    )
    if name in os.environ
}  # fmt: skip
OPENAPI = "metabase-openapi.json"


@pytest.fixture(scope="module")
def metabase(request: pytest.FixtureRequest) -> Iterator[Client]:
    """An administrator of a Metabase that everything was brought to."""
    with ExitStack() as stack:
        if URL:
            settings = {**GIVEN, "WAREHOUSE_METABASE_URL": URL}
        else:
            # The warehouse of the stand-in. A real Metabase has its own.
            settings = dict(request.getfixturevalue("reader"))
            settings["WAREHOUSE_METABASE_URL"] = stack.enter_context(MetabaseStandIn()).url
        stack.enter_context(environment.settings(settings))
        applied()
        kept = get_settings()
        client = Client(kept.metabase_url)
        client.log_in(kept.metabase_email, kept.metabase_password.get_secret_value())
        yield client


def ours(client: Client, model: str) -> dict[str, Json]:
    """Our cards or dashboards, by name, whole."""
    [collection] = [
        each["id"]
        for each in client.told("get", "/api/collection")
        if marks.KEPT_BY in (each.get("description") or "")
    ]
    items = client.told("get", f"/api/collection/{collection}/items", models=model)["data"]
    return {each["name"]: client.told("get", f"/api/{model}/{each['id']}") for each in items}


def held(client: Client) -> Json:
    """What it shows of them, with every id: what people and links depend on."""
    cards = {
        name: [card["id"], card["entity_id"], card["display"], found.native(card)]
        for name, card in ours(client, "card").items()
    }
    boards = {
        name: [board["id"], sorted(board["dashcards"], key=lambda tile: int(tile["id"]))]
        for name, board in ours(client, "dashboard").items()
    }
    return {
        "cards": cards,
        "dashboards": {name: [number, bare(tiles)] for name, (number, tiles) in boards.items()},
    }


def bare(tiles: list[Json]) -> list[Json]:
    """The tiles as a PUT takes them."""
    names = (
        "id", "card_id", "row", "col", "size_x", "size_y", "parameter_mappings",
        "visualization_settings",
    )  # fmt: skip
    return [{name: tile[name] for name in names} for tile in tiles]


def test_every_question_and_dashboard_is_there(metabase: Client) -> None:
    assert {each.title for each in load_questions().values()} <= set(ours(metabase, "card"))
    boards = ours(metabase, "dashboard")
    for board in load_dashboards().values():
        assert len(boards[board.title]["dashcards"]) == len(board.tiles)


def test_a_second_time_there_is_nothing_to_change(metabase: Client) -> None:
    before = held(metabase)
    assert applied().stdout == "nothing to change\n"
    planned = dashboards("plan")
    assert (planned.exit_code, planned.stdout) == (0, "nothing to change\n")
    assert held(metabase) == before


def test_a_card_that_was_changed_by_hand_is_changed_back(metabase: Client) -> None:
    before = held(metabase)
    title = load_questions()["spread-by-second"].title
    path = f"/api/card/{before['cards'][title][0]}"
    metabase.told("put", path, {"name": "Mine", "display": "table", "visualization_settings": {}})
    planned = dashboards("plan")
    said = [
        f"update card {title!r}: name, display, visualization_settings (changed by hand)",
        "  name: 'Mine'",
        "  display: 'table'",
    ]
    assert (planned.exit_code, planned.stdout.splitlines()) == (2, [*said, "1 changes"])
    left = applied()
    assert left.stdout == "0 changes, 1 left\n"
    assert f"left card {title!r} as it was changed by hand: name, display" in left.stderr
    assert metabase.told("get", path)["name"] == "Mine"
    assert applied("--yes").stdout.splitlines() == [*said, "1 changes"]
    assert held(metabase) == before
    assert metabase.told("get", path)["name"] == title


def test_tiles_that_were_moved_by_hand_go_back_and_keep_their_ids(metabase: Client) -> None:
    before = held(metabase)
    title = load_dashboards()["spread-monitor"].title
    number, tiles = before["dashboards"][title]
    moved = [{**tile, "row": tile["row"] + 2} for tile in tiles]
    metabase.told("put", f"/api/dashboard/{number}", {"dashcards": moved})
    assert held(metabase) != before
    said = f"update dashboard {title!r}: dashcards (changed by hand)"
    assert applied("--yes").stdout.splitlines() == [said, "1 changes"]
    assert held(metabase) == before


@pytest.mark.parametrize("board", load_dashboards())
def test_every_tile_answers(metabase: Client, board: str) -> None:
    whole = ours(metabase, "dashboard")[load_dashboards()[board].title]
    chosen = [
        {"id": each["id"], "type": each["type"], "value": each["default"]}
        for each in whole["parameters"]
        if each.get("default") is not None
    ]
    asked = 0
    for tile in whole["dashcards"]:
        if tile["card_id"]:
            fed = {mapping["parameter_id"] for mapping in tile["parameter_mappings"]}
            answer = metabase.told(
                "post",
                f"/api/dashboard/{whole['id']}/dashcard/{tile['id']}/card/{tile['card_id']}/query",
                {"parameters": [each for each in chosen if each["id"] in fed]},
            )
            assert answer["status"] == "completed", (tile["card"]["name"], answer.get("error"))
            # What a browser sends for filters that are empty is as good as nothing.
            rows = []
            for given in ([], [each | {"value": None} for each in chosen if each["id"] in fed]):
                answer = metabase.told(
                    "post",
                    f"/api/dashboard/{whole['id']}/dashcard/{tile['id']}"
                    f"/card/{tile['card_id']}/query",
                    {"parameters": given},
                )
                assert answer["status"] == "completed", answer
                rows.append(answer["data"]["rows"])
            assert rows[0] == rows[1]
            assert answer["data"]["cols"]
            asked += 1
    assert asked == sum(tile.question is not None for tile in load_dashboards()[board].tiles)


def test_filters_offer_what_there_is(metabase: Client) -> None:
    offered = 0
    for definition in load_dashboards().values():
        whole = ours(metabase, "dashboard")[definition.title]
        for name, chosen in definition.filters.items():
            if chosen.values:
                path = f"/api/dashboard/{whole['id']}/params/{name}/values"
                assert metabase.told("get", path)["values"], name
                offered += 1
    assert offered


@pytest.mark.usefixtures("metabase")
def test_a_wrong_password_is_one_clear_line() -> None:
    with environment.settings({"WAREHOUSE_METABASE_PASSWORD": "n0t-the-password"}):
        done = dashboards("plan")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "does not take the password" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def calls(reader: dict[str, str]) -> list[Call]:
    """Every kind of call that we make, as the stand-in got them."""
    with (
        MetabaseStandIn() as stand_in,
        environment.settings({**reader, "WAREHOUSE_METABASE_URL": stand_in.url}),
    ):
        applied()
        for kind in ("collections", "cards", "dashboards"):
            for each in stand_in.state.data[kind].values():
                each["description"] += "."
        [database] = stand_in.state.data["databases"].values()
        stand_in.state.data["collection_graph"]["groups"][str(EVERYONE)].clear()
        database["details"]["ssl"] = True
        database["tables"] = []
        stale = next(iter(stand_in.state.data["cards"].values()))
        gone = {"id": 999, "name": "Gone", "description": f"{marks.KEPT_BY} in dashboards/a.yml"}
        stand_in.state.data["cards"]["999"] = {**stale, **gone}
        dashboards("apply", "--prune", "--yes")
        assert {call.split("/")[2] for call in stand_in.writes if call.startswith("PUT")} == {
            "database", "collection", "card", "dashboard", "permissions",
        }  # fmt: skip
        return list(stand_in.calls)


# The last: with a real Metabase it is the only one that starts a Postgres of its own.
def test_its_own_contract_takes_what_we_send(
    metabase: Client, calls: list[Call], tmp_path: Path
) -> None:
    theirs: Any = metabase.told("get", "/api/docs/openapi.json")
    kept = (get_settings().home if URL else tmp_path) / OPENAPI
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(theirs, indent=1))
    told = differences(calls, theirs)
    assert not told, "\n".join([f"not in {kept}:", *told])
