"""CoinCap v3: exchanges by volume. It answers nobody without a key.

Sources: pro.coincap.io/api-docs, and rest.coincap.io/api-docs.json for limits and fields;
x-cmd/x-cmd#217 for what the retired v2 answers.
"""

from collections.abc import Iterator
from typing import Any

from loader.warehouse.values import any_text, epoch_milliseconds, flag, whole_number, zero_or_more
from loader.wire.json_text import Value, items_at, read_json
from loader.wire.pages import page_numbers
from loader.wire.records import (
    Body,
    Parsed,
    ReadValue,
    Record,
    fields_of,
    key_text,
    read_all,
    text,
    unreadable,
)
from loader.wire.session import PoliteSession, Problem, status_problem

EXCHANGES = "coincap_exchanges"

# What describes a record that is good without it.
DESCRIPTIVE: dict[str, ReadValue] = {
    "rank": whole_number,
    "volumeUsd": zero_or_more,
    "percentTotalVolume": zero_or_more,
    "tradingPairs": whole_number,
    "socket": flag,
    "exchangeUrl": any_text,
    "updated": epoch_milliseconds,
}

# The most that one call may ask for; a call is billed by its size, so that fewer are cheaper.
_A_PAGE = 2000


def judge(status: int, document: Any) -> Problem | None:
    """What a reply means.

    The retired v2 goes on answering 200, with a message where the data would be.
    """
    fields = document if isinstance(document, dict) else {}
    data, error = fields.get("data"), fields.get("error")
    message = str(error or "")
    if status in (401, 402, 403) and document is not None:
        return Problem("terminal", f"{message}: check WAREHOUSE_COINCAP_KEY and its plan")
    if status == 403:
        return Problem("throttled", "blocked at the edge")
    if status < 400 and isinstance(data, dict) and "message" in data:
        return Problem("terminal", f"{data['message']} (check WAREHOUSE_COINCAP_URL)")
    if status < 400 and error:
        return Problem("terminal", message)
    return status_problem(status, message)


class CoinCap:
    """Fetches bodies; one object a thread."""

    def __init__(self, session: PoliteSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    def exchanges(self) -> Iterator[Body]:
        """All exchanges, in as few calls as they fit."""
        for page in page_numbers("coincap: its list of exchanges"):
            answer = self._session.fetch(
                f"{self._url}/exchanges", {"limit": _A_PAGE, "offset": (page - 1) * _A_PAGE}
            )
            yield Body(EXCHANGES, "", answer.received_at, answer.text)
            reply = read_json(answer.text)
            data = reply.get("data") if isinstance(reply, dict) else None
            if not isinstance(data, list) or len(data) < _A_PAGE:
                return


def parse_exchanges(body: Body) -> Parsed:
    """A record for each exchange."""
    return read_all(body, lambda body: items_at(body.text, "data"), _exchange)


def _exchange(body: Body, value: Value) -> Record:
    fields = fields_of(value)
    text(fields, "name")
    return Record(
        body.received_at,
        key_text(fields, "exchangeId"),
        value.text,
        unreadable=unreadable(fields, DESCRIPTIVE),
    )
