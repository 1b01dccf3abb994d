"""How the stand-in for Metabase answers: as awkwardly as the real one."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Server
from tests.metabase import permissions, rig
from tests.metabase.permissions import NATIVE
from tests.metabase.rig import Client
from tests.metabase.server import MetabaseStandIn
from tests.metabase.shown import MASK
from tests.metabase.world import World, set_up, tag


@pytest.fixture
def new() -> Iterator[tuple[MetabaseStandIn, Client]]:
    """One that nobody has set up."""
    with MetabaseStandIn() as stand_in:
        yield stand_in, Client(stand_in.url)


def test_until_it_is_ready_it_serves_nothing(new: tuple[MetabaseStandIn, Client]) -> None:
    stand_in, client = new
    stand_in.faults.starting = float("inf")
    for method, path in [
        ("get", "/api/session/properties"), ("post", "/api/setup"), ("get", "/api/card"),
    ]:  # fmt: skip
        reply = client.send(method, path, {} if method == "post" else None)
        assert (reply.status_code, reply.headers["Content-Type"]) == (503, "text/plain")
    health = client.send("get", "/api/health")
    assert (health.status_code, health.json()["status"]) == (503, "initializing")
    stand_in.faults.starting = 0
    assert client.told("get", "/api/health") == {"status": "ok"}


def test_a_new_one_wants_its_token_and_a_good_password(
    new: tuple[MetabaseStandIn, Client],
) -> None:
    _, client = new
    public = client.told("get", "/api/session/properties")
    assert public["has-user-setup"] is False
    token = public["setup-token"]
    for body, field, said in [
        (set_up("another"), "token", "does not match the setup token"),
        (set_up(token, password="short"), "user.password", "too common"),
        (set_up(token, password="longenough"), "user.password", "too common"),
        (set_up(token, password="password1"), "user.password", "too common"),
        (set_up(token, email="nobody"), "user.email", "is not a 'email'"),
        ({**set_up(token), "prefs": {}}, "prefs", "'site_name' is a required property"),
        ({**set_up(token), "database": 1}, "database", "1 is not valid"),
    ]:
        reply = client.send("post", "/api/setup", body)
        assert (reply.status_code, list(reply.json()["errors"])) == (400, [field])
        assert said in reply.json()["errors"][field]
    login = {"username": rig.EMAIL, "password": rig.PASSWORD}
    assert client.send("post", "/api/session", login).status_code == 401
    assert uuid.UUID(client.told("post", "/api/setup", set_up(token))["id"])
    public = client.told("get", "/api/session/properties")
    assert (public["has-user-setup"], public["setup-token"]) == (True, None)


def test_only_who_is_known_is_let_in_and_only_an_administrator_to_everything(
    world: World,
) -> None:
    url = world.metabase.url
    for headers in ({}, {"X-Metabase-Session": str(uuid.uuid4())}, {"x-api-key": "mb_guess"}):
        reply = Client(url, **headers).send("get", "/api/card")
        assert (reply.status_code, reply.text) == (401, "Unauthenticated")

    def key(name: str, group: int) -> Client:
        made = world.client.told("post", "/api/api-key", {"name": name, "group_id": group})
        assert made["masked_key"] != made["unmasked_key"]
        return Client(url, **{"X-API-KEY": made["unmasked_key"]})

    assert key("administrator", 2).told("get", f"/api/card/{world.card}")["name"] == "Card"
    user = key("user", permissions.EVERYONE)
    assert user.send("get", "/api/user/current").status_code == 200
    for path in (f"/api/database/{world.database}", "/api/permissions/graph"):
        reply = user.send("get", path)
        assert (reply.status_code, reply.text) == (403, "You don't have permissions to do that.")
    again = world.client.send("post", "/api/api-key", {"name": "user", "group_id": 2})
    assert (again.status_code, "already" in again.text) == (400, True)


def test_a_session_ends(world: World) -> None:
    ended = world.client.send("delete", "/api/session")
    assert (ended.status_code, ended.content) == (204, b"")
    assert world.client.send("get", "/api/user/current").status_code == 401


def test_a_card_is_mbql_5_with_new_ids_at_every_reading(world: World) -> None:
    path = f"/api/card/{world.card}"
    first, second = world.client.told("get", path), world.client.told("get", f"{path}/")
    one, other = (each["dataset_query"]["stages"][0] for each in (first, second))
    assert first["dataset_query"]["lib/type"] == "mbql/query"
    assert one["lib/uuid"] != other["lib/uuid"]
    assert [tag["name"] for tag in one["template-tags"]] == ["book", "day"]
    world.metabase.state.tags_as_list = False
    older = world.client.told("get", f"/api/card/{first['entity_id']}")["dataset_query"]["stages"][
        0
    ]
    world.metabase.state.tags_as_list = True
    assert {name: tag["name"] for name, tag in older["template-tags"].items()} == {
        "book": "book", "day": "day",
    }  # fmt: skip


def test_lists_come_bare_or_in_data_and_what_is_not_there_is_a_text(world: World) -> None:
    assert world.client.told("get", "/api/database")["total"] == 1
    collections = world.client.told("get", "/api/collection")
    assert collections[0]["id"] == "root"
    assert "Bin" not in {each["name"] for each in collections}
    items = world.client.told("get", f"/api/collection/{world.collection}/items", limit=1)
    assert (len(items["data"]), items["total"]) == (1, 2)
    for path in ("/api/card/99", f"/api/card/{'x' * 21}", "/api/collection/99/items"):
        reply = world.client.send("get", path)
        assert (reply.status_code, reply.text) == (404, "Not found.")


def test_the_password_is_hidden_and_kept_when_it_comes_back_hidden(world: World) -> None:
    path = f"/api/database/{world.database}"
    details = world.client.told("get", path)["details"]
    assert details["password"] == MASK
    changed = world.client.told("put", path, {"details": {**details, "ssl-mode": "allow"}})
    assert changed["details"] == {**details, "ssl-mode": "allow"}
    kept = world.metabase.state.data["databases"][str(world.database)]["details"]
    assert kept["password"] == rig.READER_PASSWORD
    assert world.client.send("post", "/api/dataset", world.query()).json()["status"] == "completed"


def test_a_sync_takes_a_while_and_fails_where_there_is_no_connection(world: World) -> None:
    path = f"/api/database/{world.database}"
    world.metabase.state.data["databases"][str(world.database)]["tables"] = []
    assert world.client.told("post", f"{path}/sync_schema") == {"status": "ok"}
    assert world.client.told("get", f"{path}/metadata")["tables"] == []
    world.metabase.state.data["databases"][str(world.database)]["details"]["dbname"] = "no"
    assert world.client.send("post", f"{path}/sync_schema").status_code == 422


def test_a_collection_goes_to_the_trash_with_what_is_in_it_and_any_change_brings_it_back(
    world: World,
) -> None:
    path = f"/api/collection/{world.collection}"

    def archived() -> list[bool]:
        objects = [path, f"/api/card/{world.card}", f"/api/card/{world.trashed}"]
        return [world.client.told("get", each)["archived"] for each in objects]

    assert archived() == [False, False, True]
    gone = world.client.told("put", path, {"archived": True})
    assert gone["location"] != "/"
    assert archived() == [True, True, True]
    # It was in the trash before, and stays there.
    back = world.client.told("put", path, {"description": "Changed"})
    assert (back["location"], back["description"]) == ("/", "Changed")
    assert archived() == [False, False, True]


def test_the_trash_alone_lists_what_was_archived_by_itself(world: World) -> None:
    trash = world.client.told("get", "/api/collection/trash")
    assert trash["type"] == "trash"

    def listed(collection: int, **query: Any) -> list[tuple[str, int]]:
        answer = world.client.told("get", f"/api/collection/{collection}/items", **query)
        return [(each["name"], each["collection_id"]) for each in answer["data"]]

    # As if they had always been of the trash, in the order of their names.
    assert listed(trash["id"], archived="true") == [
        (name, trash["id"]) for name in ("Bin", "Gone", "Old")
    ]
    assert listed(world.collection, archived="true") == []
    assert world.client.told("get", f"/api/card/{world.trashed}")["collection_id"] is not None
    world.client.told("put", f"/api/collection/{world.collection}", {"archived": True})
    assert [name for name, _ in listed(world.collection, archived="true")] == ["Board", "Card"]
    assert ("Ours", trash["id"]) in listed(trash["id"], archived="true")
    counted = world.client.told(
        "get", f"/api/collection/{trash['id']}/items", archived="true", limit=0
    )
    assert (counted["data"], counted["total"]) == ([], 4)


def test_a_new_card_has_an_id_of_its_own_whatever_is_sent(world: World) -> None:
    made = world.client.told("post", "/api/card", world.new_card(entity_id="e" * 21))
    assert made["entity_id"] != "e" * 21
    assert len(made["entity_id"]) == 21
    # Its filters are made of its tags where none are sent.
    filters = [(each["slug"], each["type"]) for each in made["parameters"]]
    assert filters == [("book", "string/="), ("day", "date/single")]


def test_the_columns_of_a_card_come_later_or_when_it_is_run(world: World) -> None:
    path = f"/api/card/{world.client.told('post', '/api/card', world.new_card())['id']}"
    assert world.client.told("get", path)["result_metadata"] is None
    world.client.send("post", f"{path}/query", {})
    columns = world.client.told("get", path)["result_metadata"]
    assert [column["name"] for column in columns] == ["day", "users", "book"]


def test_the_least_right_is_left_out_of_the_graph_and_a_revision_is_used_once(
    world: World,
) -> None:
    everybody, number = str(permissions.EVERYONE), str(world.database)

    def rights() -> Any:
        graph = world.client.told("get", "/api/permissions/graph")
        return {group: each[number] for group, each in graph["groups"].items()}

    assert {each["create-queries"] for each in rights().values()} == {NATIVE}
    administrators = rights()[str(permissions.ADMINISTRATORS)]
    body = {"revision": 1, "groups": {everybody: {number: {"create-queries": "no"}}}}
    assert world.client.told("put", "/api/permissions/graph", body)["revision"] == 2
    assert "create-queries" not in rights()[everybody]
    assert rights()[everybody]["view-data"] == "unrestricted"
    assert rights()[str(permissions.ADMINISTRATORS)] == administrators
    assert world.client.send("put", "/api/permissions/graph", body).status_code == 409
    # A database that is new: no more than on the others.
    made = {"name": "Another", "engine": "postgres", "details": world.details}
    number = str(world.client.told("post", "/api/database", made)["id"])
    assert "create-queries" not in rights()[everybody]
    assert rights()[str(permissions.ANALYSTS)]["create-queries"] == NATIVE


def test_who_may_write_no_sql_may_run_what_others_wrote(world: World) -> None:
    data = world.metabase.state.data
    data["people"]["p@example.com"] = {
        "email": "p@example.com", "password": "p", "groups": [permissions.EVERYONE],
    }  # fmt: skip
    person = Client(world.metabase.url)
    person.log_in("p@example.com", "p")
    path = f"/api/card/{world.card}"
    tile = f"/api/dashboard/{world.board}/dashcard/{world.tile}/card/{world.card}/query"
    assert person.told("post", "/api/card", world.new_card())["name"] == "New"
    world.client.told(
        "put",
        "/api/permissions/graph",
        {
            "revision": 1,
            "groups": {
                str(permissions.EVERYONE): {
                    str(world.database): {"create-queries": "query-builder"}
                }
            },
        },
    )
    for method, where, body in [
        ("post", "/api/dataset", world.query()), ("post", "/api/card", world.new_card(name="N")),
        ("put", path, {"name": "N"}),
    ]:  # fmt: skip
        assert person.send(method, where, body).status_code == 403
    assert person.send("post", f"{path}/query", {}).json()["status"] == "completed"
    assert person.send("post", tile, {}).json()["status"] == "completed"
    world.client.told(
        "put",
        "/api/collection/graph",
        {"revision": 1, "groups": {str(permissions.EVERYONE): {str(world.collection): "none"}}},
    )
    assert person.send("post", f"{path}/query", {}).status_code == 403
    # Rights add up.
    data["people"]["p@example.com"]["groups"].append(permissions.ANALYSTS)
    assert person.send("post", "/api/dataset", world.query()).status_code == 202


def test_a_new_password_is_wanted_by_what_logs_in_anew_alone(world: World, server: Server) -> None:
    path = f"/api/database/{world.database}"
    assert world.client.told("get", f"{path}/healthcheck") == {"status": "ok"}
    world.client.told("post", "/api/dataset", world.query())
    with rig.rotated(server, "an0ther"):
        # What is open stays open.
        assert world.client.told("post", "/api/dataset", world.query())["status"] == "completed"
        health = world.client.told("get", f"{path}/healthcheck")
        assert (health["status"], "password" in health["message"]) == ("error", True)
        assert world.client.send("post", f"{path}/sync_schema").status_code == 422
        world.client.told("put", path, {"details": world.details | {"password": "an0ther"}})
        assert world.client.told("get", f"{path}/healthcheck") == {"status": "ok"}


def test_alerts_and_subscriptions_end_with_what_they_are_of(world: World) -> None:
    data = world.metabase.state.data
    data["alerts"] = [{"card_id": world.card, "active": True}]
    data["subscriptions"] = [{
        "dashboard_id": world.board, "parameters": ["book"], "dashcards": [world.tile],
        "archived": False,
    }]  # fmt: skip
    kept = world.new_tile(id=world.tile, row=3)
    world.client.told("put", f"/api/dashboard/{world.board}", world.tiles(kept))
    world.client.told("put", f"/api/card/{world.card}", {"name": "Mine"})
    assert (data["alerts"][0]["active"], data["subscriptions"][0]["archived"]) == (True, False)
    world.client.told("put", f"/api/dashboard/{world.board}", world.tiles(world.new_tile()))
    world.client.told("put", f"/api/card/{world.card}", {"archived": True})
    assert (data["alerts"][0]["active"], data["subscriptions"][0]["archived"]) == (False, True)


def test_tiles_that_are_not_sent_are_gone_and_the_others_keep_their_ids(world: World) -> None:
    path = f"/api/dashboard/{world.board}"
    [tile] = world.client.told("get", path)["dashcards"]
    assert tile["card"]["name"] == "Card"
    kept = world.new_tile(id=world.tile)
    more = [world.new_tile(id=-place, row=6 * place) for place in range(1, 8)]
    tiles = world.client.told("put", path, world.tiles(kept, *more))["dashcards"]
    ids = {each["row"]: each["id"] for each in tiles}
    assert (ids[0], len(set(ids.values())), min(ids.values()) > 0) == (world.tile, 8, True)
    orders = {tuple(each["id"] for each in tiles)} | {
        tuple(each["id"] for each in world.client.told("get", path)["dashcards"]) for _ in "ab"
    }
    assert len(orders) > 1
    [left] = world.client.told("put", path, world.tiles(kept))["dashcards"]
    assert left["id"] == world.tile


def test_a_query_is_answered_with_202_whether_it_went_well_or_not(world: World) -> None:
    path = f"/api/dashboard/{world.board}/dashcard/{world.tile}/card/{world.card}/query"

    def asked(path: str, body: Any) -> Any:
        reply = world.client.send("post", path, body)
        assert reply.status_code == 202
        return reply.json()

    assert asked(path, {})["row_count"] == 2
    chosen = {"parameters": [{"id": "book", "type": "string/=", "value": ["btc_mxn"]}]}
    assert asked(path, chosen)["data"]["rows"] == [["2026-01-06", 2, "eth_mxn"]]
    target = ["variable", ["template-tag", "book"]]
    emptied = {"parameters": [{"type": "string/=", "target": target, "value": []}]}
    # A browser sends null, or no value of a list, for what somebody emptied.
    whole = asked(f"/api/card/{world.card}/query", {})["data"]["rows"]
    nothing = [{"id": "book", "type": "string/=", "value": None}]
    assert asked(f"/api/card/{world.card}/query", emptied)["data"]["rows"] == whole
    assert asked(path, {"parameters": nothing})["data"]["rows"] == whole
    required = {"book": tag("book", default="ltc_mxn", required=True)}
    query = world.query("select {{book}}::text as b", required)
    number = world.client.told("post", "/api/card", world.new_card(dataset_query=query))["id"]
    assert asked(f"/api/card/{number}/query", emptied)["data"]["rows"] == [["ltc_mxn"]]
    world.metabase.forget_counts()
    day = {
        "type": "date/single", "target": ["variable", ["template-tag", "day"]],
        "value": "2026-01-05",
    }  # fmt: skip
    given = asked(f"/api/card/{world.card}/query", {"parameters": [day]})
    assert given["data"]["rows"] == [["2026-01-06", 2, "eth_mxn"]]
    for sql, said in [("select 1 / 0", "division by zero"), ("select pg_sleep('x')", "invalid")]:
        failed = asked("/api/dataset", world.query(sql))
        assert (failed["status"], said in failed["error"]) == ("failed", True)
    many = asked("/api/dataset", world.query("select generate_series(1, 3000) as n"))
    assert many["row_count"] == 2000
    assert world.metabase.writes == []


def test_what_breaks_in_it_is_told_and_is_a_violation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.metabase.state, "shown_card", lambda _: 1 / 0)
    reply = world.client.send("get", f"/api/card/{world.card}")
    assert (reply.status_code, reply.text) == (
        500,
        "the stand-in broke: ZeroDivisionError('division by zero')",
    )
    assert len(world.metabase.violations) == 1
