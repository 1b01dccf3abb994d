"""Metabase's own command-line client reads what `dashboards apply` brought to the stand-in.

It judges twice: its schemas take no answer that a Metabase would not give, and its check of
queries knows no stand-in. It runs where METABASE_CLI names it:

    npm install --prefix DIR @metabase/cli@0.3.1
    export METABASE_CLI=DIR/node_modules/.bin/mb
    .venv/bin/pytest tests/integration/dashboards/metabase/test_cli.py
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dashboards.definitions import load_dashboards
from dashboards.metabase import wanted
from dashboards.questions import load_questions
from tests import environment
from tests.conftest import Server, Warehouse
from tests.metabase import rig, shown
from tests.metabase.rig import Client
from tests.metabase.server import MetabaseStandIn
from tests.waiting import LAST_RESORT_SECONDS

CLI = os.environ.get("METABASE_CLI", "")
pytestmark = pytest.mark.skipif(
    not CLI, reason="METABASE_CLI does not name the program `mb` of npm's @metabase/cli"
)


@dataclass
class Cli:
    """The client, with a key of an administrator and no profile of anybody's."""

    metabase: MetabaseStandIn
    home: Path
    key: str

    def run(self, *arguments: object, stdin: object = None) -> tuple[int, Any]:
        """Exit code and answer."""
        done = subprocess.run(
            [Path(CLI).absolute(), *map(str, arguments), "--json"],
            input=json.dumps(stdin),
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.home),
                "MB_URL": self.metabase.url, "MB_API_KEY": self.key,
            },
            capture_output=True, text=True, check=False, timeout=LAST_RESORT_SECONDS,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout or done.stderr)

    def told(self, *arguments: object) -> Any:
        """The whole answer, gone well."""
        code, answer = self.run(*arguments, "--full", "--max-bytes", 0)
        assert code == 0, answer
        return answer


@pytest.fixture(scope="module")
def mb(
    server: Server, sampled: Warehouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cli]:
    """The client of a Metabase that holds everything."""
    with (
        rig.reader(server, sampled) as settings,
        MetabaseStandIn() as stand_in,
        environment.settings({**settings, "WAREHOUSE_METABASE_URL": stand_in.url}),
    ):
        rig.applied()
        client = Client(stand_in.url)
        client.log_in(rig.EMAIL, rig.PASSWORD)
        made = client.told("post", "/api/api-key", {"name": "mb", "group_id": 2})
        yield Cli(stand_in, tmp_path_factory.mktemp("mb"), made["unmasked_key"])


@pytest.mark.parametrize("is_list", [True, False], ids=["list", "map"])
def test_it_reads_every_card(mb: Cli, monkeypatch: pytest.MonkeyPatch, is_list: bool) -> None:
    monkeypatch.setattr(mb.metabase.state, "tags_as_list", is_list)
    listed = mb.told("card", "list")["data"]
    assert {each["name"] for each in listed} == {each.title for each in load_questions().values()}
    for each in listed:
        card = mb.told("card", "get", each["id"])
        assert (card["name"], card["query_type"]) == (each["name"], "native")


def test_it_reads_every_dashboard(mb: Cli) -> None:
    [collection] = [
        each for each in mb.told("collection", "list")["data"] if each["name"] == wanted.COLLECTION
    ]
    items = mb.told("collection", "items", collection["id"], "--models", "dashboard")["data"]
    boards = {each.title: each for each in load_dashboards().values()}
    assert {each["name"] for each in items} == set(boards)
    for each in items:
        whole = mb.told("dashboard", "get", each["id"])
        assert len(whole["dashcards"]) == len(boards[each["name"]].tiles)
    everything = mb.told("collection", "items", collection["id"])
    assert everything["total"] == len(load_questions()) + len(boards)


def test_it_reads_the_database(mb: Cli) -> None:
    [listed] = mb.told("db", "list")["data"]
    whole = mb.told("db", "get", listed["id"])
    assert (whole["name"], whole["initial_sync_status"]) == (wanted.COLLECTION, "complete")


def test_it_finds_nothing_wrong_with_the_queries(mb: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # mb 0.3.1 knows no list of tags.
    monkeypatch.setattr(mb.metabase.state, "tags_as_list", False)
    for each in mb.told("card", "list")["data"]:
        query = mb.told("card", "get", each["id"])["dataset_query"]
        code, answer = mb.run("query", "--dry-run", stdin=query)
        assert (code, answer.get("ok")) == (0, True), (each["name"], answer)


def test_it_would_say_what_is_wrong(mb: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    body = wanted.card(load_questions()["active-users"], 1, None)
    body["dataset_query"]["stages"][0]["template-tags"]["day"]["type"] = "dait"
    code, answer = mb.run("query", "--dry-run", stdin=body["dataset_query"])
    assert (code, answer["ok"]) == (2, False)
    number, whole = mb.told("card", "list")["data"][0]["id"], shown.card

    def lacking(*given: Any, **how: Any) -> Any:
        return {name: part for name, part in whole(*given, **how).items() if name != "creator_id"}

    monkeypatch.setattr(shown, "card", lacking)
    code, answer = mb.run("card", "get", number)
    assert (code, answer["error"]["category"]) == (1, "response-shape")
