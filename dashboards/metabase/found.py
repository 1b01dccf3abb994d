"""What Metabase holds, read so that it can be held against what is wanted.

Metabase gives more than it was sent, some of it anew each time, and the same in several shapes:
what we send and what it answers are both brought into the one shape in which they are compared.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dashboards.metabase import marks
from dashboards.metabase.marks import Json

_TAG = ("id", "name", "display-name", "type", "required", "default")
_PARAMETER = ("id", "name", "slug", "type", "required", "default")
# Of what somebody changed by hand, as much as fits a screen.
_MOST_LINES = 20


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


def card(kept: Json) -> Json:
    """A card, ours or theirs, as it is compared."""
    query = native(kept)
    return {
        "name": kept.get("name"),
        "description": marks.without(kept.get("description")),
        "type": kept.get("type") or "question",
        "display": kept.get("display"),
        "collection_id": kept.get("collection_id"),
        "dataset_query": query
        | {"tags": {name: _only(tag, _TAG) for name, tag in query["tags"].items()}},
        "parameters": [_parameter(each) for each in kept.get("parameters") or []],
        "visualization_settings": _bare(kept.get("visualization_settings") or {}),
    }


def dashboard(kept: Json) -> Json:
    """A dashboard, ours or theirs, as it is compared."""
    return {
        "name": kept.get("name"),
        "description": marks.without(kept.get("description")),
        "collection_id": kept.get("collection_id"),
        "width": kept.get("width") or "fixed",
        "auto_apply_filters": kept.get("auto_apply_filters", True),
        "parameters": [_parameter(each) for each in kept.get("parameters") or []],
        "tabs": [each["name"] for each in kept.get("tabs") or []],
        # Sorted, because Metabase returns them in no particular order.
        "dashcards": _sorted(_tile(tile) for tile in kept.get("dashcards") or []),
    }


def differences(seen: Callable[[Json], Json], wanted: Json, found: Json) -> tuple[str, ...]:
    """The fields in which what is found differs from what is wanted, seen the same way."""
    asked, kept = seen(wanted), seen(found)
    fields = tuple(name for name in asked if asked[name] != kept[name])
    # The mark alone: everything else is as it should be, and was not left so by us.
    is_marked_otherwise = found.get("description") != wanted["description"]
    return fields or (("description",) if is_marked_otherwise else ())


def made_by_hand(seen: Callable[[Json], Json], wanted: Json, found: Json) -> tuple[str, ...] | None:
    """Lines that say what somebody made of it; None where nobody did."""
    if not marks.is_changed_by_hand(found, seen):
        return None
    asked, kept = seen(wanted), seen(found)
    if asked == kept:
        return None
    lines: list[str] = []
    for name in asked:
        if asked[name] == kept[name]:
            continue
        if name == "dataset_query":
            lines += _changed_lines(asked[name]["sql"] or "", kept[name]["sql"] or "")
        elif isinstance(kept[name], str | int | None):
            lines.append(f"{name}: {kept[name]!r}")
    return tuple(lines[:_MOST_LINES])


def _changed_lines(ours: str, theirs: str) -> Iterable[str]:
    told = difflib.unified_diff(ours.splitlines(), theirs.splitlines(), lineterm="", n=0)
    return (line for line in told if not line.startswith(("---", "+++", "@@")))


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


def _parameter(kept: Json) -> Json:
    """A filter, without what Metabase fills in by itself where we leave it out."""
    made = _only(kept, _PARAMETER)
    if kept.get("target"):
        made["target"] = _variable(kept["target"])
    if kept.get("isMultiSelect") is False:
        made["isMultiSelect"] = False
    if source := kept.get("values_source_type"):
        config = kept.get("values_source_config") or {}
        field = [part for part in config.get("value_field") or [] if isinstance(part, str)]
        made |= {
            "values_source_type": source,
            "values_query_type": kept.get("values_query_type"),
            "values": config.get("values"),
            "card_id": config.get("card_id"),
            "value_field": field[1:],
        }
    return made


def _only(kept: Json, names: Iterable[str]) -> Json:
    part = {name: kept[name] for name in names if kept.get(name) is not False and name in kept}
    return dict(_bare(part))


def _shows(tile: Mapping[str, Any]) -> str:
    heading = (tile.get("visualization_settings") or {}).get("text")
    return f"card {tile['card_id']}" if tile.get("card_id") else f"heading {heading}"


def _tile(tile: Mapping[str, Any]) -> Json:
    mappings = tile.get("parameter_mappings") or []
    return {
        "shows": _shows(tile),
        "place": [tile.get(name) for name in ("row", "col", "size_x", "size_y")],
        "mappings": sorted(
            (
                [mapping["parameter_id"], mapping.get("card_id"), _variable(mapping["target"])]
                for mapping in mappings
            ),
            key=repr,
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
    return sorted(tiles, key=lambda tile: (repr(tile["place"]), tile["shows"]))


def _bare(value: Any) -> Any:
    """Without what says nothing: a null and an empty part are as good as none."""
    if isinstance(value, dict):
        parts = {name: _bare(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in (None, {}, [])}
    if isinstance(value, list):
        return [_bare(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        # 5 and 5.0 are one number, whoever wrote it.
        return int(value)
    return value
