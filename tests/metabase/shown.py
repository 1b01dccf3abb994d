"""How Metabase shows what it holds: more than it was sent, and the same thing differently.

Source: Metabase v0.63, as its own command-line client reads it.
"""

import copy
import uuid
from collections.abc import Mapping
from typing import Any

from tests.metabase.sql import stage_of

Json = dict[str, Any]

MASK = "**MetabasePass**"
ROOT = {"id": "root", "name": "Our analytics", "can_write": True, "archived": False}
PERSONAL = {
    "id": 900_001, "name": "Warehouse Administrator's Personal Collection", "archived": False,
    "personal_owner_id": 1, "location": "/", "description": None,
}  # fmt: skip
TRASH = {
    "id": 900_002, "name": "Trash", "type": "trash", "archived": False, "location": "/",
    "description": None, "can_write": True,
}  # fmt: skip
_CREATED_AT = "2026-11-01T00:00:00Z"


def database(kept: Mapping[str, Any]) -> Json:
    """A database, its password hidden."""
    hidden = {"password": MASK} if kept["details"].get("password") else {}
    shown = {
        name: part for name, part in kept.items() if name not in ("tables", "looks_until_synced")
    }
    return shown | {"details": kept["details"] | hidden, "features": ["native-parameters"]}


def card(kept: Mapping[str, Any], *, tags_as_list: bool) -> Json:
    """A card as v0.57 and later answer: MBQL 5, with new ids at every reading."""
    sql, tags = stage_of(kept["dataset_query"])
    stage = {
        "lib/type": "mbql.stage/native", "native": sql, "lib/uuid": str(uuid.uuid4()),
        "template-tags": list(tags.values()) if tags_as_list else tags,
    }  # fmt: skip
    database = kept["dataset_query"]["database"]
    ours = ("columns", "looks_until_metadata", "archived_directly")
    shown = {name: part for name, part in kept.items() if name not in ours}
    # It comes in the background: not in the answer that made the card.
    metadata = None if kept["looks_until_metadata"] else kept["columns"]
    return copy.deepcopy(shown) | {
        "dataset_query": {
            "lib/type": "mbql/query", "database": database, "stages": [stage],
            "lib.convert/converted?": True,
        },
        "database_id": database, "table_id": None, "dashboard_id": None, "query_type": "native",
        "creator_id": 1, "created_at": _CREATED_AT, "can_write": True, "cache_ttl": None,
        "result_metadata": metadata, "enable_embedding": False,
    }  # fmt: skip


def item(kind: str, kept: Mapping[str, Any], holder: int | None) -> Json:
    """Something as one of a collection's items: as if it were in the one that was asked for."""
    names = ("id", "name", "entity_id", "description", "archived")
    return {"model": kind, **{name: kept.get(name) for name in names}, "collection_id": holder}


def dashboard(kept: Mapping[str, Any], cards: Mapping[int, Json]) -> Json:
    """A dashboard and, in each tile, its card as it is shown."""
    shown = {k: v for k, v in copy.deepcopy(dict(kept)).items() if k != "archived_directly"}
    for tile in shown["dashcards"]:
        tile.update(
            dashboard_id=kept["id"], created_at=_CREATED_AT, series=[], action_id=None,
            inline_parameters=[], entity_id=uuid.uuid4().hex[:21],
            card=cards.get(tile.get("card_id")),
        )  # fmt: skip
        tile.setdefault("dashboard_tab_id", None)
    return shown | {
        "creator_id": 1, "can_write": True, "cache_ttl": None, "caveats": None,
        "enable_embedding": False, "public_uuid": None,
    }  # fmt: skip
