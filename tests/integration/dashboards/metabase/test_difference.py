"""The comparison of what we send with the contract that a Metabase prints."""

import json
from typing import Any

import pytest

from tests.metabase.contract import document
from tests.metabase.difference import differences

TILE = {
    "type": "object", "required": ["id"], "additionalProperties": False,
    "properties": {"id": {"type": "integer"}, "col": {"type": "integer", "maximum": 23}},
}  # fmt: skip
BODY = {
    "allOf": [
        {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        {"type": "object", "properties": {
            "kind": {"enum": ["line", "bar"]},
            "tiles": {"anyOf": [
                {"type": "null"}, {"type": "array", "items": {"$ref": "#/x/Tile"}}]},
            "details": {"type": "object"},
            "texts": {"type": "object", "additionalProperties": {"type": "string"}},
            "numbers": {"type": "object", "additionalProperties": False,
                        "patternProperties": {"^[0-9]+$": {"type": "string"}}},
            "pair": {"type": "array", "prefixItems": [{"const": "tag"}, {"type": "string"}]},
            "way": {"oneOf": [
                {"type": "object", "properties": {"type": {"const": "a"}, "left": {}}},
                {"type": "object", "properties": {"type": {"const": "b"}, "right": {}},
                 "required": ["right"]},
            ]},
        }},
    ],
}  # fmt: skip
THEIRS = {
    "x": {"Tile": TILE},
    "paths": {
        "/api/thing/": {
            "get": {"parameters": [{"name": "archived", "in": "query"}]},
            "post": {"requestBody": {"content": {"application/json": {"schema": BODY}}}},
        },
        "/api/thing/{thing-id}": {
            "get": {"parameters": [
                {"name": "thing-id", "in": "path", "required": True},
                {"name": "page", "in": "query", "required": True},
            ]},
            "put": {"requestBody": {"required": True, "content": {}}},
        },
        "/api/thing/all": {"get": {}},
    },
}  # fmt: skip


def told(method: str, target: str, body: Any = None) -> list[str]:
    return differences(
        [(method, target, b"" if body is None else json.dumps(body).encode())], THEIRS
    )


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n"},
        {"name": "n", "kind": "bar", "tiles": None, "details": {"any": {"thing": 1}}},
        {"name": "n", "tiles": [{"id": 1}, {"id": -2, "col": 3}], "texts": {"a": "b"}},
        {"name": "n", "numbers": {"12": "b"}},
        {"name": "n", "pair": ["tag", "x"], "way": {"type": "b", "right": None}},
    ],
)
def test_what_is_declared_is_no_difference(body: Any) -> None:
    assert told("post", "/api/thing", body) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "required name is not sent"),
        ({"name": "n", "colour": 1}, "colour is not declared"),
        ({"name": 1}, "name: 1 is not declared"),
        ({"name": "n", "kind": "pie"}, 'kind: "pie" is not declared'),
        (
            {"name": "n", "tiles": [{"id": 1}, {"id": 1, "sizeX": 1}]},
            "tiles[].sizeX is not declared",
        ),
        ({"name": "n", "tiles": [{"col": 1}]}, "required tiles[].id is not sent"),
        ({"name": "n", "numbers": {"a": "b"}}, "numbers.a is not declared"),
        ({"name": "n", "texts": {"a": 1}}, "texts{}: 1 is not declared"),
        ({"name": "n", "pair": ["tags", "x"]}, 'pair[]: "tags" is not declared'),
        ({"name": "n", "way": {"type": "b", "left": 1, "right": 1}}, "way.left is not declared"),
        ({"name": "n", "way": {"type": "b"}}, "required way.right is not sent"),
    ],
)
def test_what_is_not_declared_or_not_sent_is_named(body: Any, said: str) -> None:
    assert told("post", "/api/thing", body) == [f"POST /api/thing/: {said}"]


@pytest.mark.parametrize(
    ("method", "target", "body", "said"),
    [
        ("delete", "/api/thing/12", None, ["DELETE /api/thing/{id}: is gone"]),
        ("get", f"/api/things/{'x' * 21}/items", None, ["GET /api/things/{id}/items: is gone"]),
        ("get", "/api/thing?archived=true", None, []),
        ("get", "/api/thing?f=all", None, ["GET /api/thing/: ?f is not declared"]),
        ("get", "/api/thing/12?page=1", None, []),
        ("get", "/api/thing/12", None, ["GET /api/thing/{thing-id}: required ?page is not sent"]),
        ("get", "/api/thing/all", None, []),
        ("post", "/api/thing", None, []),
        ("put", "/api/thing/12", None, ["PUT /api/thing/{thing-id}: required body is not sent"]),
        ("put", "/api/thing/12", {}, ["PUT /api/thing/{thing-id}: declares no body"]),
    ],
)
def test_operations_and_what_is_asked_of_them(
    method: str, target: str, body: Any, said: list[str]
) -> None:
    assert told(method, target, body) == said


def test_each_difference_is_told_once_and_in_order() -> None:
    calls = [("delete", f"/api/thing/{number}", b"") for number in (1, 2)]
    calls += [("get", "/api/thing?b=1&a=1", b"")]
    assert differences(calls, THEIRS) == [
        "DELETE /api/thing/{id}: is gone",
        "GET /api/thing/: ?a is not declared",
        "GET /api/thing/: ?b is not declared",
    ]


def test_a_card_without_its_query_is_told_of_the_contract_itself() -> None:
    body = {"name": "n", "display": "table", "visualization_settings": {}, "entity_ids": 1}
    assert differences([("post", "/api/card", json.dumps(body).encode())], document()) == [
        "POST /api/card: entity_ids is not declared",
        "POST /api/card: required dataset_query is not sent",
    ]
