"""What an API answers, before it becomes bytes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What an API is asked; header names are lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: datetime


@dataclass
class Reply:
    """A status and a JSON document, or a text that is none."""

    status: int = 200
    document: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The bytes to send."""
        return (dumps(self.document) if self.text is None else self.text).encode()


def raw(number: object) -> str:
    """A number to be written into the JSON as it stands: no float in between."""
    return f"\ue000{number}\ue001"


def dumps(document: Any) -> str:
    """A document as JSON text."""
    text = json.dumps(document, separators=(",", ":"))
    return re.sub(r'"\\ue000(.*?)\\ue001"', r"\1", text)
