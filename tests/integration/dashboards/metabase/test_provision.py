"""`dashboards plan` and `apply` against the stand-in: what they bring, and what stops them."""

import copy
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from dashboards import answers, questions
from dashboards.definitions import load_dashboards
from dashboards.metabase import database, found, provision, wanted
from dashboards.questions import load_questions
from loader.warehouse.settings import get_settings
from tests import environment
from tests.conftest import Server
from tests.metabase import permissions, rig
from tests.metabase.rig import PASSWORD, READER_PASSWORD, applied, dashboards
from tests.metabase.server import MetabaseStandIn
from tests.metabase.shown import PERSONAL
from tests.metabase.sql import fill_in
from tests.metabase.state import TRASH, MetabaseState
from tests.waiting import LAST_RESORT_SECONDS


@pytest.fixture
def metabase(reader: dict[str, str], request: pytest.FixtureRequest) -> Iterator[MetabaseStandIn]:
    """A Metabase as it comes out of its box."""
    with (
        MetabaseStandIn(tags_as_list=getattr(request, "param", True)) as stand_in,
        environment.settings({**reader, "WAREHOUSE_METABASE_URL": stand_in.url}),
    ):
        yield stand_in


_applied: dict[str, Any] = {}


@pytest.fixture
def provisioned(metabase: MetabaseStandIn) -> MetabaseStandIn:
    """A Metabase that holds everything: applied once, then copied."""
    if not _applied:
        applied()
        _applied.update(metabase.state.data)
    metabase.state.data = copy.deepcopy(_applied)
    metabase.forget_counts()
    return metabase


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, questions.Question]:
    """One dashboard and its questions, for tests that apply many times."""
    board = load_dashboards()["alerts"]
    names = {"books", *(tile.question for tile in board.tiles if tile.question)}
    asked = {name: question for name, question in load_questions().items() if name in names}
    monkeypatch.setattr(provision, "load_dashboards", lambda: {"alerts": board})
    monkeypatch.setattr(provision, "load_questions", lambda: asked)
    return asked


# How an object came to be as it is, not what it is.
PASSING = ("updated_at", "archived_directly", "looks_until_metadata")


def everything(metabase: MetabaseStandIn) -> Any:
    """What it holds, as our own names tell it: without numbers."""
    data = metabase.state.data
    names = {
        each["id"]: each["name"]
        for kind in ("databases", "collections", "cards", "dashboards")
        for each in data[kind].values()
    }

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: names.get(part, part)
                if key in ("id", "card_id", "collection_id", "database")
                else named(part)
                for key, part in value.items()
                if key not in ("entity_id", "looks_until_synced")
                and not (key == "id" and isinstance(part, int))
            }
        if isinstance(value, str):
            # The state is one of numbers as well.
            return re.sub(r", state \w+$", "", value)
        return [named(part) for part in value] if isinstance(value, list) else value

    told = {}
    for kind in ("databases", "collections", "cards", "dashboards"):
        told[kind] = sorted(
            (
                named({k: v for k, v in each.items() if k not in ("tables", *PASSING)})
                for each in data[kind].values()
            ),
            key=lambda each: each["name"],
        )
    return told


@pytest.mark.parametrize("metabase", [True, False], indirect=True, ids=["list", "map"])
def test_everything_comes_to_an_empty_metabase_and_nothing_twice(metabase: MetabaseStandIn) -> None:
    done = applied()
    assert len(metabase.state.data["cards"]) == len(load_questions())
    shown = {each["name"] for each in metabase.state.data["dashboards"].values()}
    assert shown == {board.title for board in load_dashboards().values()}
    assert f"create card '{load_questions()['spread-by-second'].title}'" in done.stdout
    before = everything(metabase)
    metabase.forget_counts()
    assert applied().stdout == "nothing to change\n"
    assert dashboards("plan").exit_code == 0
    assert metabase.writes == []
    assert metabase.violations == []
    assert everything(metabase) == before


def test_a_plan_tells_the_changes_and_makes_none(metabase: MetabaseStandIn) -> None:
    planned = dashboards("plan")
    assert planned.exit_code == 2
    assert metabase.writes == []
    lines = planned.stdout.splitlines()
    assert lines[0] == "create account 'admin@example.com'"
    # The account is made when the session is: before anything is reported.
    assert applied().stdout.splitlines()[:-1] == lines[1:-1]


def test_the_reader_of_metabase_sees_marts_and_their_descriptions(
    provisioned: MetabaseStandIn,
) -> None:
    [database] = provisioned.state.data["databases"].values()
    assert {table["schema"] for table in database["tables"]} == {"marts"}
    for table in database["tables"]:
        assert table["description"], table["name"]
        assert all(column["description"] for column in table["fields"]), table["name"]


DRIFTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "display": (lambda data: card(data).update(display="area"),
                "update card 'Spread by second': display (changed by hand)"),
    "sql": (lambda data: card(data)["dataset_query"]["stages"][0].update(native="select 1"),
            "update card 'Spread by second': dataset_query (changed by hand)"),
    "tag": (lambda data: tags(card(data))["book"].update(default="eth_mxn"),
            "update card 'Spread by second': dataset_query (changed by hand)"),
    "trash": (lambda data: card(data).update(archived=True),
              "update card 'Spread by second': archived"),
    "moved": (lambda data: card(data).update(collection_id=None),
              "update card 'Spread by second': collection_id (changed by hand)"),
    "trashed board": (lambda data: board(data).update(archived=True),
                      "update dashboard 'Spread monitor': archived"),
    "description": (lambda data: card(data).update(
                        description="Mine\n\n" + card(data)["description"].split("\n\n")[-1]),
                    "update card 'Spread by second': description (changed by hand)"),
    "opened SQL": (
        lambda data: data["graph"]["groups"][str(permissions.EVERYONE)][number_of_database(data)]
        .update({"create-queries": permissions.NATIVE}),
        "update permissions of database 'Bitso warehouse': create-queries"),
    "closed collection": (
        lambda data: data["collection_graph"]["groups"][str(permissions.EVERYONE)].clear(),
        "update permissions of collection 'Bitso warehouse': read"),
    "title": (lambda data: board(data).update(name="Mine"),
              "update dashboard 'Spread monitor': name (changed by hand)"),
    "size": (lambda data: board(data)["dashcards"][3].update(size_y=30),
             "update dashboard 'Spread monitor': dashcards (changed by hand)"),
    "lost tile": (lambda data: board(data)["dashcards"].pop(),
                  "update dashboard 'Spread monitor': dashcards (changed by hand)"),
    "unwired": (lambda data: board(data)["dashcards"][1].update(parameter_mappings=[]),
                "update dashboard 'Spread monitor': dashcards (changed by hand)"),
    "filter": (lambda data: board(data)["parameters"].pop(),
               "update dashboard 'Spread monitor': parameters (changed by hand)"),
    "collection": (
        lambda data: of(data, "collections", wanted.COLLECTION).update(
            archived=True, location=TRASH),
        "update collection 'Bitso warehouse': archived"),
    "moved collection": (
        lambda data: of(data, "collections", wanted.COLLECTION).update(location="/77/"),
        "update collection 'Bitso warehouse': parent_id (changed by hand)"),
    "tabs": (lambda data: board(data).update(tabs=[{"id": 77, "name": "Mine"}]),
             "update dashboard 'Spread monitor': tabs (changed by hand)"),
    "connection": (
        lambda data: of(data, "databases", wanted.COLLECTION)["details"].update(ssl=True),
        "update database 'Bitso warehouse': ssl"),
    "unsynced": (lambda data: of(data, "databases", wanted.COLLECTION)["tables"].pop(),
                 "sync database 'Bitso warehouse'"),
}  # fmt: skip


def of(data: Any, kind: str, name: str) -> Any:
    return next(each for each in data[kind].values() if each["name"] == name)


def card(data: Any) -> Any:
    return of(data, "cards", "Spread by second")


def number_of_database(data: Any) -> str:
    return str(of(data, "databases", wanted.COLLECTION)["id"])


def board(data: Any) -> Any:
    return of(data, "dashboards", "Spread monitor")


def tags(kept: Any) -> Any:
    return kept["dataset_query"]["stages"][0]["template-tags"]


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_in_one_object_is_undone_in_that_object(
    provisioned: MetabaseStandIn, drift: str
) -> None:
    before = everything(provisioned)
    ids = {kind: set(provisioned.state.data[kind]) for kind in ("cards", "dashboards")}
    spoil, said = DRIFTS[drift]
    spoil(provisioned.state.data)
    provisioned.forget_counts()
    planned = dashboards("plan").stdout.splitlines()
    assert (planned[0], planned[-1]) == (said, "1 changes")
    if "by hand" in said:
        left = applied()
        assert left.stdout == "0 changes, 1 left\n"
        assert left.stderr.startswith("left ")
    assert provisioned.writes == []
    assert applied("--yes").stdout.splitlines() == planned
    assert len(provisioned.writes) == 1
    assert {kind: set(provisioned.state.data[kind]) for kind in ("cards", "dashboards")} == ids
    assert everything(provisioned) == before


def test_what_is_in_the_trash_comes_back_before_what_else_was_made_of_it(
    provisioned: MetabaseStandIn,
) -> None:
    before = everything(provisioned)
    for kept in (card(provisioned.state.data), board(provisioned.state.data)):
        kept.update(archived=True, name="Mine")
    said = [
        "update card 'Spread by second': archived",
        "update card 'Spread by second': name (changed by hand)",
        "  name: 'Mine'",
        "update dashboard 'Spread monitor': archived",
        "update dashboard 'Spread monitor': name (changed by hand)",
        "  name: 'Mine'",
    ]
    assert dashboards("plan").stdout.splitlines() == [*said, "4 changes"]
    provisioned.forget_counts()
    left = applied()
    assert left.stdout.splitlines() == [said[0], said[3], "2 changes, 2 left"]
    assert len(provisioned.writes) == 2
    assert applied("--yes").stdout.splitlines() == [*said[1:3], *said[4:], "2 changes"]
    assert provisioned.violations == []
    assert everything(provisioned) == before


def test_in_a_terminal_it_is_asked_what_to_do_with_what_was_changed_by_hand(
    provisioned: MetabaseStandIn,
) -> None:
    kept = board(provisioned.state.data)
    kept["name"] = "Mine"
    for answer, name in (("n", "Mine"), ("y", "Spread monitor")):
        leader, follower = os.openpty()
        os.write(leader, f"{answer}\n".encode())
        done = subprocess.run(
            [Path(sys.executable).parent / "dashboards", "apply"],
            stdin=follower, capture_output=True, text=True, check=False,
            timeout=LAST_RESORT_SECONDS,
        )  # fmt: skip
        os.close(leader)
        os.close(follower)
        assert done.returncode == 0, done.stderr
        assert "  name: 'Mine'\noverwrite it? [y/N]: " in done.stderr
        assert kept["name"] == name


def test_a_copy_is_nobodys_but_whose_it_is(provisioned: MetabaseStandIn) -> None:
    data = provisioned.state.data
    data["cards"]["999"] = {**card(data), "id": 999, "name": "Spread by second - Duplicate"}
    # In the trash as well: it came from elsewhere.
    data["cards"]["998"] = {**card(data), "id": 998, "collection_id": None, "archived": True}
    personal = {"id": 997, "collection_id": PERSONAL["id"], "name": "Mine"}
    data["cards"]["997"] = {**card(data), **personal}
    assert applied().stdout == "nothing to change\n"
    del data["cards"][str(card(data)["id"])], data["cards"]["999"]
    assert "create card 'Spread by second'" in applied().stdout
    assert data["cards"]["998"]["archived"]


def test_what_the_repository_changed_is_written_unasked_and_alerts_live_on(
    provisioned: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = provisioned.state.data
    data["alerts"] = [{"card_id": each["id"], "active": True} for each in data["cards"].values()]
    data["subscriptions"] = [
        {
            "dashboard_id": each["id"], "archived": False,
            "parameters": [parameter["id"] for parameter in each["parameters"]],
            "dashcards": [tile["id"] for tile in each["dashcards"]],
        }
        for each in data["dashboards"].values()
    ]  # fmt: skip
    for kept in (card(data), board(data)):
        kept.update(name="Mine")
    changed = {
        name: question.model_copy(update={"title": f"{question.title}, anew"})
        for name, question in load_questions().items()
    }
    boards = {
        name: definition.model_copy(update={"title": f"{definition.title}, anew"})
        for name, definition in load_dashboards().items()
    }
    monkeypatch.setattr(provision, "load_questions", lambda: changed)
    monkeypatch.setattr(provision, "load_dashboards", lambda: boards)
    left = applied()
    made = len(changed) + len(boards) - 2
    assert left.stdout.splitlines()[-1] == f"{made} changes, 2 left"
    applied("--yes")
    assert applied().stdout == "nothing to change\n"
    assert all(each["active"] for each in data["alerts"])
    assert not any(each["archived"] for each in data["subscriptions"])


@pytest.mark.usefixtures("few")
def test_a_password_that_was_rotated_is_delivered_and_checked(
    metabase: MetabaseStandIn, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied()
    said = "update database 'Bitso warehouse': password"
    with rig.rotated(server, "an0ther"):
        planned = dashboards("plan")
        assert planned.stdout.splitlines() == [said, "1 changes"]
        assert "Metabase cannot connect to 'Bitso warehouse'" in planned.stderr
        # The old one is not taken twice.
        assert dashboards("apply").exit_code == 1
        monkeypatch.setenv("WAREHOUSE_METABASE_READER_PASSWORD", "an0ther")
        get_settings.cache_clear()
        done = applied()
        assert done.stdout.splitlines() == [said, "1 changes"]
        assert "an0ther" not in done.output
        assert applied().output == "nothing to change\n"
        assert metabase.violations == []


@pytest.mark.usefixtures("few")
def test_groups_that_write_sql_are_named_and_left_alone(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied()
    data = metabase.state.data
    everybody = data["graph"]["groups"][str(permissions.EVERYONE)][number_of_database(data)]
    assert everybody["create-queries"] == "query-builder"
    planned = dashboards("plan")
    assert (planned.exit_code, planned.stdout) == (0, "nothing to change\n")
    assert planned.stderr.splitlines() == [
        "group 'Data Analysts' may write SQL of its own over 'Bitso warehouse': left alone"
    ]
    # Less than that stays as it is, and so does what is to stay open.
    everybody["create-queries"] = "no"
    assert applied().stdout == "nothing to change\n"
    everybody["create-queries"] = permissions.NATIVE
    monkeypatch.setenv("WAREHOUSE_METABASE_CLOSE_SQL", "false")
    get_settings.cache_clear()
    assert applied().stdout == "nothing to change\n"
    data["graph"]["revision"] += 1
    monkeypatch.setenv("WAREHOUSE_METABASE_CLOSE_SQL", "true")
    get_settings.cache_clear()
    metabase.faults.answer(409, "Please fetch new data", path="/api/permissions/graph")
    assert dashboards("apply").exit_code == 75
    assert "create-queries" in applied().stdout


def test_ids_stay_so_that_links_survive(provisioned: MetabaseStandIn) -> None:
    kept = board(provisioned.state.data)
    tiles = {tile["card_id"]: tile["id"] for tile in kept["dashcards"] if tile["card_id"]}
    for tile in kept["dashcards"]:
        tile["row"] += 1
    applied("--yes")
    again = {tile["card_id"]: tile["id"] for tile in kept["dashcards"] if tile["card_id"]}
    assert again == tiles


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_cut_off_at_any_request_it_is_finished_by_the_next_run(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    monkeypatch.setattr(time, "sleep", partial(_sleep_shortly, time.sleep))
    applied()
    complete, count = everything(metabase), len(metabase.requests)
    cut_off = 0
    for request in range(1, count + 1):
        metabase.state.data = MetabaseState().data
        metabase.faults.cut, metabase.faults.cut_is_before = request, is_before
        # A GET is tried again by itself.
        cut_off += dashboards("apply").exit_code == 75
        metabase.faults.cut = None
        applied()
        assert everything(metabase) == complete, f"cut at request {request}"
    assert cut_off > 10


def _sleep_shortly(sleep: Callable[[float], None], seconds: float) -> None:
    sleep(seconds / 20)


FAULTS: dict[str, tuple[Callable[[MetabaseStandIn], object], int, str]] = {
    "forbidden": (lambda m: m.faults.answer(403, "You don't have permissions to do that."), 1,
                  "must be an administrator"),
    "gone": (lambda m: m.faults.answer(404, "Not found.", path="/api/database"), 1,
             "GET /api/database: 404: Not found."),
    "broken": (lambda m: m.faults.answer(500, "java.lang.NullPointerException"), 75, "500: java"),
    "busy": (lambda m: m.faults.answer(503, "busy", times=99, path="/api/collection"), 75,
             "503: busy"),
    "redirect": (lambda m: m.faults.answer(302, "over there"), 1, "redirects"),
    "another server": (lambda m: m.faults.answer(200, "<html>hello</html>"), 1,
                       "was not answered by a Metabase"),
    "shut out": (lambda m: m.faults.answer(401, "Unauthenticated", times=9, path="/api/database"),
                 1, "GET /api/database: 401: Unauthenticated"),
    "throttled": (lambda m: m.faults.answer(429, "Too many attempts!", path="/api/session$"), 75,
                  "POST /api/session: 429: Too many attempts!"),
    "query": (lambda m: setattr(m.state, "failing_queries", 1), 1, "canceling statement"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("few")
def test_a_fault_is_told_in_one_line(
    metabase: MetabaseStandIn, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    spoil, code, said = FAULTS[fault]
    metabase.faults.path = "/api/(database|user)"
    spoil(metabase)
    if not metabase.faults.path:
        metabase.faults.path = "/api/database"
    done = dashboards("apply")
    assert done.exit_code == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert PASSWORD not in done.output
    assert READER_PASSWORD not in done.output


@pytest.mark.usefixtures("few")
def test_trouble_that_passes_is_waited_out(metabase: MetabaseStandIn) -> None:
    metabase.faults.starting = 2
    applied()
    metabase.faults.answer(503, "busy", times=2, path="/api/collection")
    applied()
    metabase.state.data["sessions"].clear()
    metabase.faults.answer(401, "Unauthenticated", times=1, path="/api/card")
    assert applied().stdout == "nothing to change\n"


def test_a_metabase_that_does_not_come_is_waited_for_as_long_as_one_says(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    metabase.faults.starting = float("inf")
    monkeypatch.setenv("WAREHOUSE_METABASE_WAIT_SECONDS", "1")
    get_settings.cache_clear()
    done = dashboards("apply")
    assert (done.exit_code, done.stderr) == (
        75, f"dashboards: Metabase at {metabase.url} is not ready\n",
    )  # fmt: skip


@pytest.mark.usefixtures("metabase")
def test_a_metabase_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_METABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WAREHOUSE_METABASE_WAIT_SECONDS", "0")
    get_settings.cache_clear()
    done = dashboards("apply")
    assert (done.exit_code, done.stderr) == (
        75, "dashboards: Metabase at http://127.0.0.1:9 cannot be reached: try again\n",
    )  # fmt: skip


@pytest.mark.usefixtures("few")
def test_a_metabase_that_answers_too_late(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied()
    monkeypatch.setenv("WAREHOUSE_METABASE_TIMEOUT_SECONDS", "0.2")
    monkeypatch.setenv("WAREHOUSE_METABASE_WAIT_SECONDS", "0")
    get_settings.cache_clear()
    metabase.faults.is_silent = True
    done = dashboards("apply")
    assert done.exit_code == 75
    assert "did not answer within 0.2 s" in done.stderr


def test_a_password_that_was_changed_in_metabase(provisioned: MetabaseStandIn) -> None:
    provisioned.state.data["user"]["password"] = "another1"
    provisioned.state.data["sessions"].clear()
    done = dashboards("apply")
    assert done.exit_code == 1
    assert "Metabase does not take the password of admin@example.com" in done.stderr


@pytest.mark.usefixtures("metabase")
@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("PASSWORD", "", 2, "set WAREHOUSE_METABASE_PASSWORD"),
        ("PASSWORD", "short", 1, "user.password: password is too common"),
        ("READER_PASSWORD", "", 2, "set WAREHOUSE_METABASE_READER_PASSWORD"),
        ("READER_PASSWORD", "wrong", 1, "cannot connect"),
        ("READER_PORT", "9", 1, "cannot connect"),
        ("URL", "metabase:3000", 2, "WAREHOUSE_METABASE_URL"),
    ],
)
def test_wrong_settings(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: int, said: str
) -> None:
    monkeypatch.setenv(f"WAREHOUSE_METABASE_{name}", value)
    get_settings.cache_clear()
    done = dashboards("apply")
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


STRANGERS: dict[str, tuple[Callable[[Any], object], str]] = {
    "database": (
        lambda data: of(data, "databases", wanted.COLLECTION)["details"].update(user="sales"),
        "a database 'Bitso warehouse' that is not ours"),
    "collection": (
        lambda data: of(data, "collections", wanted.COLLECTION).update(description="Mine"),
        "a collection 'Bitso warehouse' that is not ours"),
    "card": (lambda data: of(data, "cards", "Books").update(description="Mine"),
             "a card 'Books' that is not ours"),
    "dashboard": (lambda data: of(data, "dashboards", "Alerts").update(description="Mine"),
                  "a dashboard 'Alerts' that is not ours"),
}  # fmt: skip


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_not_ours_is_left_alone(metabase: MetabaseStandIn, kind: str) -> None:
    applied()
    spoil, said = STRANGERS[kind]
    spoil(metabase.state.data)
    before = json.dumps(metabase.state.data[f"{kind}s"])
    metabase.forget_counts()
    done = dashboards("apply")
    assert done.exit_code == 1
    assert said in done.stderr
    assert metabase.writes == []
    assert json.dumps(metabase.state.data[f"{kind}s"]) == before


def test_what_left_the_repository_is_archived_when_asked(
    provisioned: MetabaseStandIn, request: pytest.FixtureRequest
) -> None:
    theirs = {"name": "Mine", "description": "Mine"}
    provisioned.state.data["cards"]["999"] = {**card(provisioned.state.data), "id": 999, **theirs}
    few = request.getfixturevalue("few")
    left = applied()
    assert left.stdout == "nothing to change\n"
    assert "left card 'Spread by second': no longer in dashboards/" in left.stderr
    done = dashboards("apply", "--prune")
    assert "archive dashboard 'Spread monitor'" in done.stdout
    kept = {
        each["name"] for each in provisioned.state.data["cards"].values() if not each["archived"]
    }
    assert kept == {"Mine", *(each.title for each in few.values())}
    provisioned.forget_counts()
    assert dashboards("apply", "--prune").output == "nothing to change\n"
    assert provisioned.writes == []


WRONG_QUESTIONS = {
    "column": ("y: [alerts]", "y: [alarms]", "its answer has no column 'alarms'"),
    "dressed": ("day: {title: Day}", "days: {title: Day}", "its answer has no column 'days'"),
    "sql": ("from marts.spread_alerts", "from marts.spread_alarms", "spread_alarms"),
    "right": ("from marts.spread_alerts", "from raw.bitso_tickers", "permission denied"),
    "two": ("order by day, threshold", "order by day; select 1", "the query failed"),
}


@pytest.mark.parametrize("mistake", WRONG_QUESTIONS)
def test_a_question_that_cannot_be_shown_is_not_saved(
    metabase: MetabaseStandIn,
    few: dict[str, questions.Question],
    monkeypatch: pytest.MonkeyPatch,
    mistake: str,
) -> None:
    applied()
    old, new, said = WRONG_QUESTIONS[mistake]
    text = (resources.files("dashboards") / "questions/alerts-by-day.sql").read_text()
    assert old in text
    wrong = questions.parse_question("alerts-by-day", text.replace(old, new))
    asked = {**few, "alerts-by-day": wrong}
    monkeypatch.setattr(provision, "load_questions", lambda: asked)
    if mistake == "sql":
        monkeypatch.setattr(database, "tables_of", lambda _: set())
    metabase.forget_counts()
    done = dashboards("apply")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "question alerts-by-day" in done.stderr
    assert metabase.writes == []
    assert metabase.violations == []


@pytest.mark.usefixtures("metabase")
def test_a_table_that_dbt_has_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_METABASE_WAIT_SECONDS", "1")
    get_settings.cache_clear()
    monkeypatch.setattr(database, "tables_of", lambda _: {"not_built"})
    done = dashboards("apply")
    assert (done.exit_code, done.stderr) == (
        75, "dashboards: Metabase sees no marts.not_built yet: has dbt built it? then try again\n",
    )  # fmt: skip


def test_a_stored_query_that_is_empty_is_noticed(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = metabase.state.shown_card

    def forgetful(each: Any) -> Any:
        return kept(each) | {"dataset_query": {}}

    monkeypatch.setattr(metabase.state, "shown_card", forgetful)
    done = dashboards("apply")
    assert done.exit_code == 1
    assert "did not keep its SQL" in done.stderr


@pytest.mark.usefixtures("few")
def test_what_is_kept_otherwise_than_it_was_written_is_told_at_once(
    metabase: MetabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, board = metabase.state.shown_card, metabase.state.shown_dashboard
    monkeypatch.setattr(metabase.state, "shown_card", lambda each: kept(each) | {"display": "map"})
    monkeypatch.setattr(
        metabase.state, "shown_dashboard", lambda each: board(each) | {"width": "wide"}
    )
    told = applied().stderr
    assert "Metabase keeps card 'Books' otherwise than it was written: display" in told
    assert "Metabase keeps dashboard 'Alerts' otherwise than it was written: width" in told


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("active-users", {}),
        ("active-users", {"day": "2023-03-01", "status": "any"}),
        ("users-with-many-deposits", {"day": "2023-08-20", "more_than": "600"}),
        ("login-count", {"from": "2022-01-01", "to": "2022-12-31"}),
        ("amount-deposited", {"day": "2023-03-01", "currency": "btc"}),
        ("spread-breaches", {"threshold": "0.5", "book": "BTC_MXN"}),
        ("spread-by-second", {"to": "2026-01-05"}),
    ],
)
def test_a_card_answers_what_ask_answers(
    metabase: MetabaseStandIn, name: str, given: dict[str, str]
) -> None:
    question = load_questions()[name]
    made = wanted.card(question, 1, None)
    query = found.native(made)
    values = {
        name: int(text) if question.parameters[name].type == "integer" else text
        for name, text in given.items()
    }
    get_settings.cache_clear()
    details = database._details(get_settings()) | {"password": READER_PASSWORD}
    columns, rows = metabase.state.warehouses.rows(
        details, *fill_in(query["sql"], query["tags"], values)
    )
    with answers.reading() as connection:
        answer = answers.ask(connection, question, question.bind(given))
    assert [column["name"] for column in columns] == list(answer.columns)
    assert [list(map(plain, row)) for row in rows] == [list(map(plain, row)) for row in answer.rows]
    assert rows


def plain(value: object) -> object:
    """As text, an instant in UTC."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value):
        return datetime.fromisoformat(value).astimezone(UTC)
    return None if value is None else str(value)
