"""Mutes: stretches of time in which nothing is told of a book, or of all of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

# What people type, and read, where no single book is meant.
ALL = "all"


class Mute(NamedTuple):
    """Nothing is told of a book (None: of any) from `since` until just before `until`."""

    book: str | None
    since: datetime
    until: datetime

    def __str__(self) -> str:
        """A line for people."""
        return f"{self.book or ALL}: muted until {self.until:%Y-%m-%d %H:%M:%S} UTC"


def mutes(cursor: Any, since: datetime | None = None) -> list[Mute]:
    """Those that are on, and with `since` those that ended after it too; the longest first."""
    cursor.execute(
        "select book, muted_from, muted_until from ops.alert_mutes "
        "where muted_until > least(%s, clock_timestamp()) "
        "order by muted_until desc, mute_id",
        (since,),
    )
    return [Mute(*row) for row in cursor]


def mute(cursor: Any, book: str | None, length: timedelta) -> Mute:
    """Mute a book, or all, from now on; one that is muted for longer stays so."""
    cursor.execute(
        "insert into ops.alert_mutes (book, muted_until) values (%s, clock_timestamp() + %s) "
        "returning book, muted_from, muted_until",
        (book, length),
    )
    [row] = cursor.fetchall()
    return Mute(*row)


def unmute(cursor: Any, book: str | None) -> int:
    """End the mutes of a book, or with None all of them, now; returns how many."""
    cursor.execute(
        "update ops.alert_mutes set muted_until = greatest(clock_timestamp(), muted_from) "
        "where (%(book)s::text is null or book = %(book)s) and muted_until > clock_timestamp()",
        {"book": book},
    )
    return int(cursor.rowcount)


def muted_until(known: Iterable[Mute], book: str, at: datetime) -> datetime | None:
    """Until when a book is muted at an instant; None: it is not."""
    return max(
        (one.until for one in known if one.book in (None, book) and one.since <= at < one.until),
        default=None,
    )


def last_end(
    known: Iterable[Mute], book: str, since: datetime, until: datetime | None
) -> datetime | None:
    """When the last mute of a book ends that reaches into a stretch of time; None: there is none.

    `until` None: the stretch goes on.
    """
    return max(
        (
            one.until
            for one in known
            if one.book in (None, book)
            and since < one.until
            and (until is None or one.since < until)
        ),
        default=None,
    )
