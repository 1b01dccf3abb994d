"""`dashboards plan` and `apply` against the stand-in: what they bring, and what stops them."""

import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from typing import Any

import pytest

from dashboards import answers, questions
from dashboards.definitions import load_dashboards
from dashboards.metabase import database, found, provision, wanted
from dashboards.questions import load_questions
from loader.warehouse.settings import get_settings
from tests import environment
from tests.metabase.rig import PASSWORD, READER_PASSWORD, applied, dashboards
from tests.metabase.server import MetabaseStandIn
from tests.metabase.sql import fill_in
from tests.metabase.state import TRASH, MetabaseState


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
PASSING = ("updated_at", "archived_directly")


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
                if not (key in ("entity_id", "looks_until_synced", "id") and kind != "cards")
                and not (key == "id" and isinstance(part, int))
            }
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
    "display": (lambda data: card(data).update(display="table", visualization_settings={}),
                "update card 'Spread by second': display, visualization_settings"),
    "sql": (lambda data: card(data)["dataset_query"]["stages"][0].update(native="select 1"),
            "update card 'Spread by second': dataset_query"),
    "tag": (lambda data: tags(card(data))["book"].update(default="eth_mxn"),
            "update card 'Spread by second': dataset_query"),
    "trash": (lambda data: card(data).update(archived=True),
              "update card 'Spread by second': archived"),
    "moved": (lambda data: card(data).update(collection_id=None),
              "update card 'Spread by second': collection_id"),
    "title": (lambda data: board(data).update(name="Mine"),
              "update dashboard 'Spread monitor': name"),
    "size": (lambda data: board(data)["dashcards"][3].update(size_y=30),
             "update dashboard 'Spread monitor': dashcards"),
    "lost tile": (lambda data: board(data)["dashcards"].pop(),
                  "update dashboard 'Spread monitor': dashcards"),
    "unwired": (lambda data: board(data)["dashcards"][1].update(parameter_mappings=[]),
                "update dashboard 'Spread monitor': dashcards"),
    "filter": (lambda data: board(data)["parameters"].pop(),
               "update dashboard 'Spread monitor': parameters"),
    "collection": (
        lambda data: of(data, "collections", wanted.COLLECTION).update(
            archived=True, location=TRASH),
        "update collection 'Bitso warehouse': archived, parent_id"),
    "moved collection": (
        lambda data: of(data, "collections", wanted.COLLECTION).update(location="/77/"),
        "update collection 'Bitso warehouse': parent_id"),
    "tabs": (lambda data: board(data).update(tabs=[{"id": 77, "name": "Mine"}]),
             "update dashboard 'Spread monitor': tabs"),
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
    assert dashboards("plan").stdout.splitlines()[0] == said
    assert provisioned.writes == []
    assert applied().stdout.splitlines() == [said, "1 changes"]
    assert len(provisioned.writes) == 1
    assert {kind: set(provisioned.state.data[kind]) for kind in ("cards", "dashboards")} == ids
    assert everything(provisioned) == before


def test_ids_stay_so_that_links_survive(provisioned: MetabaseStandIn) -> None:
    kept = board(provisioned.state.data)
    tiles = {tile["card_id"]: tile["id"] for tile in kept["dashcards"] if tile["card_id"]}
    for tile in kept["dashcards"]:
        tile["row"] += 1
    applied()
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
    "card": (lambda data: of(data, "cards", "Books").update(entity_id="x" * 21),
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
    theirs = {"name": "Mine", "entity_id": "y" * 21}
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
