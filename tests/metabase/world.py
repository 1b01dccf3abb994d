"""A Metabase that was filled by hand, over HTTP, and bodies to send to it."""

import copy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.conftest import Server, Warehouse
from tests.metabase import rig
from tests.metabase.rig import Client, Json
from tests.metabase.server import MetabaseStandIn

SQL = (
    "select day, users, book from (values (date '2026-01-05', 1, 'btc_mxn'), "
    "(date '2026-01-06', 2, 'eth_mxn')) as v (day, users, book) "
    "where book <> {{book}} [[and day > {{day}}]]"
)


@dataclass
class World:
    """A Metabase that was filled by hand, and the numbers of what is in it."""

    metabase: MetabaseStandIn
    client: Client
    details: Json
    database: int = 0
    collection: int = 0
    card: int = 0
    trashed: int = 0
    board: int = 0
    tile: int = 0
    bin: int = 0
    gone: int = 0

    @contextmanager
    def put_back_afterwards(self) -> Iterator[None]:
        """Whatever is done to it is forgotten."""
        before = copy.deepcopy(self.metabase.state.data)
        self.metabase.forget_counts()
        yield
        self.metabase.state.data = before

    def query(self, sql: str = SQL, tags: Any = None, **stage: Any) -> Json:
        """A dataset_query, with the tags that are in its SQL or others."""
        known = {"book": tag("book", default="ltc_mxn"), "day": tag("day", type="date")}
        named = {name: each for name, each in known.items() if f"{{{{{name}}}}}" in sql}
        kept = {
            "lib/type": "mbql.stage/native", "native": sql, "template-tags": tags or named,
            **stage,
        }  # fmt: skip
        return {"lib/type": "mbql/query", "database": self.database, "stages": [kept]}

    def new_card(self, sql: str = SQL, **changes: Any) -> Json:
        """The body of a card; one without changes is taken."""
        return {
            "name": "New", "display": "table", "visualization_settings": {},
            "collection_id": self.collection, "dataset_query": self.query(sql), **changes,
        }  # fmt: skip

    def chart(self, **settings: Any) -> Json:
        """The body of a card that draws; one without changes is taken."""
        axes = {"graph.dimensions": ["day"], "graph.metrics": ["users"]}
        return self.new_card(display="line", visualization_settings=axes | settings)

    def new_tile(self, **changes: Any) -> Json:
        """A tile that is wired; one without changes is taken."""
        mapping = {
            "parameter_id": "book", "card_id": self.card,
            "target": ["variable", ["template-tag", "book"]],
        }  # fmt: skip
        return {
            "id": -1, "card_id": self.card, "row": 0, "col": 0, "size_x": 12, "size_y": 6,
            "parameter_mappings": [mapping], **changes,
        }  # fmt: skip

    def remapped(self, **changes: Any) -> Json:
        """A tile whose one mapping is changed; without a part that is None."""
        made = self.new_tile()
        mapping = made["parameter_mappings"][0] | changes
        made["parameter_mappings"] = [{k: v for k, v in mapping.items() if v is not None}]
        return made

    def tiles(self, *tiles: Json, **changes: Any) -> Json:
        """The body of a dashboard's PUT; one without changes is taken."""
        return {
            "parameters": [parameter()],
            "dashcards": list(tiles) or [self.new_tile()],
            **changes,
        }

    def filtered(self, *parameters: Json) -> Json:
        """The same, with other filters."""
        return self.tiles(parameters=list(parameters))


def timeseries(column: str) -> dict[str, Any]:
    """Settings of a chart over time."""
    return {"graph.dimensions": [column], "graph.x_axis.scale": "timeseries"}


def metrics(*columns: str) -> dict[str, Any]:
    """Settings of a chart of these."""
    return {"graph.metrics": list(columns)}


def tag(name: str, /, **changes: Any) -> Json:
    """A template tag, for text."""
    number = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    return {"id": number, "name": name, "display-name": name, "type": "text", **changes}


def parameter(**changes: Any) -> Json:
    """A filter of a dashboard, for text."""
    return {"id": "book", "name": "Book", "slug": "book", "type": "string/=", **changes}


def without(body: Json, *names: str) -> Json:
    """A body that lacks something."""
    return {name: part for name, part in body.items() if name not in names}


def set_up(token: str, **user: str) -> Json:
    """The body of the first-time set-up."""
    return {
        "token": token,
        "user": {"email": rig.EMAIL, "password": rig.PASSWORD, **user},
        "prefs": {"site_name": "Warehouse"},
    }


@contextmanager
def filled_by_hand(server: Server, sampled: Warehouse) -> Iterator[World]:
    """A stand-in with a database, two collections, two cards and a dashboard of one tile."""
    with rig.reader(server, sampled), MetabaseStandIn() as stand_in:
        client = Client(stand_in.url)
        token = client.told("get", "/api/session/properties")["setup-token"]
        client.told("post", "/api/setup", set_up(token))
        client.log_in(rig.EMAIL, rig.PASSWORD)
        details = {
            "host": sampled.where.host, "port": sampled.where.port, "dbname": sampled.where.db,
            "user": "metabase_reader", "password": rig.READER_PASSWORD, "ssl": False,
            "schema-filters-type": "inclusion", "schema-filters-patterns": "marts",
        }  # fmt: skip
        world = World(stand_in, client, details)

        def made(path: str, **body: Any) -> int:
            return int(client.told("post", path, body)["id"])

        world.database = made("/api/database", name="W", engine="postgres", details=details)
        world.collection = made("/api/collection", name="Ours")
        world.bin = made("/api/collection", name="Bin")
        client.told("put", f"/api/collection/{world.bin}", {"archived": True})
        world.card = made("/api/card", **world.new_card(name="Card"))
        world.trashed = made("/api/card", **world.new_card(name="Old"))
        client.told("put", f"/api/card/{world.trashed}", {"archived": True})
        world.board = made("/api/dashboard", name="Board", collection_id=world.collection)
        world.gone = made("/api/dashboard", name="Gone", collection_id=world.collection)
        client.told("put", f"/api/dashboard/{world.gone}", {"archived": True})
        whole = client.told("put", f"/api/dashboard/{world.board}", world.tiles())
        world.tile = whole["dashcards"][0]["id"]
        yield world
