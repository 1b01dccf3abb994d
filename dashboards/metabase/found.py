"""What Metabase holds, read so that it can be held against what is wanted.

Metabase gives more than it was sent, some of it anew each time, and the same in several shapes:
only what we would send is compared, in one shape.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dashboards.metabase.wanted import Json


def native(found: Mapping[str, Any]) -> Json:
    """A card's query: database, SQL and tags, whether stored as MBQL 4 or 5."""
    query = found.get("dataset_query") or {}
    stage = (query.get("stages") or [{}])[0]
    legacy = query.get("native") or {}
    tags = stage.get("template-tags") or legacy.get("template-tags") or {}
    if isinstance(tags, list):
        # as v0.63 answers
        tags = {tag["name"]: tag for tag in tags}
    return {
        "database": query.get("database"),
        "sql": stage.get("native") or legacy.get("query"),
        "tags": tags,
    }


def card_differences(wanted: Json, found: Json) -> list[str]:
    """The fields of a card in which the found one differs."""
    fields = [
        name
        for name in wanted
        if name not in ("dataset_query", "visualization_settings")
        and not _covers(found.get(name), wanted[name])
    ]
    asked, kept = native(wanted), native(found)
    if not all(_covers(kept[part], asked[part]) for part in asked) or set(kept["tags"]) != set(
        asked["tags"]
    ):
        fields.append("dataset_query")
    if not _same(found.get("visualization_settings"), wanted["visualization_settings"]):
        fields.append("visualization_settings")
    if found.get("archived"):
        fields.append("archived")
    return fields


def dashboard_differences(wanted: Json, found: Json) -> list[str]:
    """The fields of a dashboard in which the found one differs."""
    fields = [
        name
        for name in wanted
        if name != "dashcards" and not _covers(found.get(name), wanted[name])
    ]
    if found.get("archived"):
        fields.append("archived")
    if found.get("tabs"):
        fields.append("tabs")
    tiles = [_tile(tile) for tile in found.get("dashcards") or []]
    # Sorted, because Metabase returns them in no particular order.
    if _sorted(tiles) != _sorted(_tile(tile) for tile in wanted["dashcards"]):
        fields.append("dashcards")
    return fields


def with_ids(wanted: Json, found: Json) -> list[Json]:
    """The dashcards to send: each with the id of the tile that shows the same, or as a new one."""
    kept: dict[str, list[int]] = {}
    for tile in found.get("dashcards") or []:
        kept.setdefault(_shows(tile), []).append(tile["id"])
    sent = []
    for place, tile in enumerate(wanted["dashcards"], start=1):
        ids = kept.get(_shows(tile))
        sent.append({"id": ids.pop(0) if ids else -place, **tile})
    return sent


def _shows(tile: Mapping[str, Any]) -> str:
    heading = (tile.get("visualization_settings") or {}).get("text")
    return f"card {tile['card_id']}" if tile.get("card_id") else f"heading {heading}"


def _tile(tile: Mapping[str, Any]) -> Json:
    mappings = tile.get("parameter_mappings") or []
    return {
        "shows": _shows(tile),
        "place": [tile.get(name) for name in ("row", "col", "size_x", "size_y")],
        "mappings": sorted(
            [mapping["parameter_id"], mapping.get("card_id"), _variable(mapping["target"])]
            for mapping in mappings
        ),
        "settings": {
            name: setting
            for name, setting in _bare(tile.get("visualization_settings") or {}).items()
            if name != "virtual_card"
        },
        "series": tile.get("series") or [],
    }


def _variable(target: Any) -> list[Any]:
    # Metabase may add options at its end.
    return list(target[:2])


def _sorted(tiles: Iterable[Json]) -> list[Json]:
    return sorted(tiles, key=lambda tile: (tile["place"], tile["shows"]))


def _covers(found: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there; nothing, null and empty are one."""
    if wanted in (None, [], {}) or found in (None, [], {}):
        return _bare(found) in (None, [], {}, False) and _bare(wanted) in (None, [], {}, False)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_covers(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_covers, found, wanted))
    return bool(found == wanted)


def _same(found: Any, wanted: Any) -> bool:
    return bool(_bare(found or {}) == _bare(wanted or {}))


def _bare(value: Any) -> Any:
    """Without what says nothing: a null and an empty part are as good as none."""
    if isinstance(value, dict):
        parts = {name: _bare(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in (None, {}, [])}
    if isinstance(value, list):
        return [_bare(part) for part in value]
    return value
