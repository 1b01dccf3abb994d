"""What we send, held against the contract that a Metabase prints of itself.

Source: OpenAPI 3.1, as Metabase makes it of its schemas (GET /api/docs/openapi.json).
"""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
# Method, path with its query, and body.
Call = tuple[str, str, bytes]

_TYPES: dict[type, set[str]] = {
    dict: {"object"}, list: {"array"}, str: {"string"}, bool: {"boolean"},
    int: {"integer", "number"}, float: {"number"}, type(None): {"null"},
}  # fmt: skip


def differences(calls: Iterable[Call], document: Json) -> list[str]:
    """What the document does not have: operations, fields and values that we send.

    And what it wants and we do not send. Each is told once.
    """
    found = chain.from_iterable(_of_call(call, document) for call in calls)
    return sorted(set(found))


def _of_call(call: Call, document: Json) -> list[str]:
    method, target, sent = call
    path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
    route, operation = _operation(method, path, document)
    what = f"{method.upper()} {route}"
    if operation is None:
        return [f"{what}: is gone"]
    declared = {each["name"]: each for each in _parameters(operation, document)}
    found = [
        *(f"{what}: ?{name} is not declared" for name in query if name not in declared),
        *(
            f"{what}: required ?{name} is not sent"
            for name, each in declared.items()
            if each["in"] == "query" and each.get("required") and name not in query
        ),
    ]
    body = _resolved(operation.get("requestBody") or {}, document)
    schemas = [each["schema"] for each in body.get("content", {}).values() if "schema" in each]
    if sent and not schemas:
        return [*found, f"{what}: declares no body"]
    if sent:
        told = _of_value({"anyOf": schemas}, json.loads(sent), document, "")
        return [*found, *(f"{what}: {each}" for each in told)]
    return [*found, *([f"{what}: required body is not sent"] if body.get("required") else [])]


def _operation(method: str, path: str, document: Json) -> tuple[str, Json | None]:
    """The route that a path takes, and what it declares; words before numbers."""
    for route, operations in sorted(document["paths"].items(), key=lambda each: "{" in each[0]):
        pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(route.rstrip("/")))
        if re.fullmatch(pattern, path.rstrip("/")) and method in operations:
            return route, operations[method]
    # As a route looks, so that a hundred numbers are told once.
    return re.sub(r"/(\d+|[\w-]{21})(?=/|$)", "/{id}", path), None


def _parameters(operation: Json, document: Json) -> list[Json]:
    return [_resolved(each, document) for each in operation.get("parameters", ())]


def _resolved(schema: Json, document: Json) -> Json:
    while "$ref" in schema:
        kept: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            kept = kept[name.replace("~1", "/").replace("~0", "~")]
        schema = kept
    return schema


def _of_value(schema: Any, value: Any, document: Json, where: str) -> list[str]:
    """The fewest problems that any alternative of a schema has with a value."""
    if not isinstance(schema, dict):
        # It takes anything.
        return []
    fitting = [each for each in _alternatives(schema, document) if _fits(each, value)]
    if not fitting:
        told = json.dumps(value)
        return [f"{where or 'the body'}: {told[:60]} is not declared"]
    return min((_of_one(each, value, document, where) for each in fitting), key=len)


def _alternatives(schema: Json, document: Json) -> list[Json]:
    """The schema without allOf, anyOf and oneOf: one for each way to satisfy it."""
    schema = _resolved(schema, document)
    ways = [
        {name: part for name, part in schema.items() if name not in ("allOf", "anyOf", "oneOf")}
    ]
    for part in schema.get("allOf", ()):
        ways = [_merged(way, other) for way in ways for other in _alternatives(part, document)]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            options = [each for part in schema[choice] for each in _alternatives(part, document)]
            ways = [_merged(way, other) for way in ways for other in options]
    return ways


def _merged(one: Json, other: Json) -> Json:
    merged = {**one, **other}
    if "properties" in one or "properties" in other:
        merged["properties"] = {**one.get("properties", {}), **other.get("properties", {})}
        merged["required"] = [*one.get("required", ()), *other.get("required", ())]
    return merged


def _fits(schema: Json, value: Any) -> bool:
    kinds = schema.get("type")
    if kinds and not _TYPES[type(value)] & set([kinds] if isinstance(kinds, str) else kinds):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        # What one word tells apart is not compared any further.
        told_apart = {
            name: part["const"]
            for name, part in schema.get("properties", {}).items()
            if isinstance(part, dict) and "const" in part
        }
        return all(value.get(name, word) == word for name, word in told_apart.items())
    return "const" not in schema or value == schema["const"]


def _of_one(schema: Json, value: Any, document: Json, where: str) -> list[str]:
    if isinstance(value, dict):
        return list(_of_object(schema, value, document, where))
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        parts = [*first, *[rest] * (len(value) - len(first))]
        return list(
            chain.from_iterable(
                _of_value(part, each, document, f"{where}[]")
                for part, each in zip(parts, value, strict=False)
            )
        )
    return []


def _of_object(schema: Json, value: Mapping[str, Any], document: Json, where: str) -> list[str]:
    patterns = schema.get("patternProperties", {})
    declared = schema.get("properties", {}) | {
        name: patterns[pattern]
        for name in value
        for pattern in patterns
        if re.search(pattern, name)
    }
    others = schema.get("additionalProperties", not declared)
    found = [
        f"required {_at(where, name)} is not sent"
        for name in schema.get("required", ())
        if name not in value
    ]
    for name, part in value.items():
        if name in declared:
            found += _of_value(declared[name], part, document, _at(where, name))
        elif others is False:
            found.append(f"{_at(where, name)} is not declared")
        else:
            found += _of_value(others, part, document, f"{where}{{}}")
    return found


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
