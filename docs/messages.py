"""The alert messages, as the code words them: one of each event (`make docs`)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

from loader.alerts.known import BookState, Coverage, Delivery, Ending, Episode, Event
from loader.alerts.message import message
from loader.alerts.notices import Notice

_OPENED = datetime(2026, 1, 5, 13, 8, tzinfo=UTC)
_CLOSED = _OPENED + timedelta(minutes=8)
_EPISODE = Episode(
    book="btc_mxn",
    threshold_pct=Decimal(1),
    opened_at=_OPENED,
    closed_at=None,
    last_observed_at=_CLOSED - timedelta(seconds=1),
    blind_at=_CLOSED + timedelta(minutes=1),
    close_reason=None,
    channels="default",
    bid=Decimal(1869630),
    ask=Decimal(1894810),
    spread=Decimal("1.328893134404"),
    peak_spread=Decimal("1.355234849793"),
    observations=480,
)
_ENDED = _EPISODE._replace(closed_at=_CLOSED, close_reason="calm")
_UNSEEN = BookState(
    book="btc_mxn",
    is_blind=True,
    last_seen_at=_CLOSED,
    blind_since=_CLOSED,
    cause="disconnected: the connection ended",
    channels="default",
)
_COVERAGE = Coverage(since=_OPENED - timedelta(minutes=8), span="10 minutes", share=Decimal("0.99"))
_ENDING = Ending(
    bid=Decimal(1881730), ask=Decimal(1882440), spread=Decimal("0.037717005588"),
    close_below_pct=Decimal(1),
)  # fmt: skip
_WHEN: dict[Event, str] = {
    "opened": "The spread went above a threshold. Thresholds that open together are one message.",
    "closed": "The alert ended; `reason` is `calm`, `blind` or `unwatched`.",
    "withdrawn": "Later quotes took back an alert that was told of.",
    "blind": "A watched book is not seen: this is not calm.",
    "seen": "The book is seen again.",
}


def messages() -> Iterator[str]:
    """The lines of the page."""
    yield "Each message has a title and a body for people. A webhook (`jsons://`) gets them as"
    yield "`title` and `message`, and every fact of the body once more as a member of its own, with"
    yield "`event`, `is_repeat` and `idempotency_key` (the same for every attempt at one message)."
    yield "`page` is there where `WAREHOUSE_PAGE_URL` is set."
    for event in get_args(Event):
        sent = message(_notice(event), _COVERAGE, _ENDING, "https://market.example.com")
        yield from ("", f"## {event}", "", _WHEN[event], "")
        yield from ("```text", sent.title, "", sent.body, "```")


def _notice(event: Event) -> Notice:
    """What is due about one book, to one address."""
    is_about_sight = event in ("blind", "seen")
    about = _UNSEEN if is_about_sight else _ENDED if event == "closed" else _EPISODE
    return Notice(
        (
            Delivery(
                book="btc_mxn",
                threshold_pct=None if is_about_sight else Decimal(1),
                known_as=_CLOSED if is_about_sight else _OPENED,
                seen_until=_CLOSED,
                event=event,
                channel="default",
                address=1,
                attempt=1,
                is_repeat=False,
                key=None,
                about=about,
            ),
        )
    )
