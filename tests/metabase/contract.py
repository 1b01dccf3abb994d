"""Requests against the contract: `openapi.json`, the part of Metabase's API that we use.

Metabase drops what it does not know without a word; here it is refused, so that a mistyped key
is found by a test rather than by an empty chart.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jsonschema

# What Metabase has and the stand-in does not: it could only guess at the answer.
_ELSEWHERE = re.compile(
    r"/api/(channel|field|native-query-snippet|notification|pulse|search|setting|table)"
    r"(/|$)"
)


class RefusedError(Exception):
    """An answer that is an error: its status, and a text or Metabase's `errors` by field."""

    def __init__(self, status: int, said: str | dict[str, str]) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status
        self.said = said


@dataclass(frozen=True)
class Call:
    """A request that keeps to the contract: its route, the numbers in its path, its parts."""

    method: str
    route: str
    ids: dict[str, str]
    query: dict[str, list[str]]
    body: Any


@cache
def document() -> Any:
    """The contract, as Metabase itself would print it."""
    return json.loads((Path(__file__).parent / "openapi.json").read_text())


@cache
def _routes() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(re.sub(r"\{([a-z]+)-?(id|key)?\}", r"(?P<\1\2>[^/]+)", path)), path)
        for path in document()["paths"]
    ]


def check(method: str, path: str, query: str, body: bytes) -> Call:
    """The call that a request makes; raises RefusedError for what the contract does not have."""
    for pattern, route in _routes():
        if (found := pattern.fullmatch(path)) and method in document()["paths"][route]:
            operation = document()["paths"][route][method]
            asked = parse_qs(query, keep_blank_values=True)
            _check_parameters(operation, found.groupdict(), asked)
            return Call(method, route, found.groupdict(), asked, _check_body(operation, body))
    if _ELSEWHERE.match(path):
        raise RefusedError(501, f"the stand-in has no {path}: provisioning does not use it")
    raise RefusedError(404, "API endpoint does not exist.")


def _check_parameters(operation: Any, ids: dict[str, str], query: dict[str, list[str]]) -> None:
    declared = {each["name"]: each for each in operation.get("parameters", ())}
    for name in query:
        if name not in declared or declared[name]["in"] != "query":
            raise RefusedError(400, {name: "unknown query parameter"})
    for name, each in declared.items():
        given = ids.get(name.replace("-", "")) if each["in"] == "path" else query.get(name)
        values = given if isinstance(given, list) else [given] if given else []
        for value in values:
            if not any(_fits(each["schema"], option) for option in (value, _as_number(value))):
                raise RefusedError(400 if each["in"] == "query" else 404, {name: f"not {value!r}"})


def _as_number(text: str) -> object:
    return int(text) if text.isdigit() else text


def _check_body(operation: Any, body: bytes) -> Any:
    if "requestBody" not in operation:
        if body:
            raise RefusedError(400, {"body": "none is declared"})
        return None
    try:
        given = json.loads(body)
    except ValueError:
        raise RefusedError(400, "Malformed JSON in request body.") from None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    for error in _validator(json.dumps(schema)).iter_errors(given):
        deepest = jsonschema.exceptions.best_match([error])
        where = ".".join(str(part) for part in deepest.absolute_path) or "body"
        raise RefusedError(400, {where: deepest.message[:300]})
    return given


@cache
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": document()["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def _fits(schema: Any, value: object) -> bool:
    return bool(_validator(json.dumps(schema)).is_valid(value))
