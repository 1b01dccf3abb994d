"""The line in a description by which an object is known as ours, and as we left it.

Metabase gives every id itself, so that a card and a dashboard are known by this line alone, inside
our collection. The state in it tells what people changed since then from what the repository did.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

Json = dict[str, Any]

# How our own objects are told from anybody else's.
KEPT_BY = "Kept by bitso-warehouse"
_LINE = re.compile(
    rf"\s*{re.escape(KEPT_BY)} in dashboards/([\w/-]+\.(?:sql|yml))(?:, state ([0-9a-f]{{12}}))?"
)


class OriginMark(NamedTuple):
    """The file that an object is made of, and the state it was left in, if it ever was whole."""

    source: str
    state: str | None


def of_question(name: str) -> str:
    """The file of a question, as marks name it."""
    return f"questions/{name}.sql"


def of_dashboard(name: str) -> str:
    """The file of a dashboard."""
    return f"{name}.yml"


def mark(found: Json) -> OriginMark | None:
    """The mark in a description; None of what is not ours."""
    line = _LINE.search(found.get("description") or "")
    return OriginMark(line[1], line[2]) if line else None


def without(description: str | None) -> str:
    """A description as it was written, without the mark."""
    return _LINE.sub("", description or "").strip()


def signed(body: Json, source: str, seen: Callable[[Json], Json] | None) -> Json:
    """A body with its mark: with the state that it will be seen in, or as one to be finished."""
    state = f", state {_state(seen(body))}" if seen else ""
    line = f"{KEPT_BY} in dashboards/{source}{state}"
    return body | {"description": f"{body['description']}\n\n{line}"}


def is_changed_by_hand(found: Json, seen: Callable[[Json], Json]) -> bool:
    """Whether somebody changed what is ours since it was written whole."""
    known = mark(found)
    return known is not None and known.state is not None and known.state != _state(seen(found))


def _state(seen: Json) -> str:
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:12]
