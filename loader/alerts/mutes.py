"""Which books somebody mutes, as they type it."""

from contextlib import closing
from datetime import timedelta
from typing import Any

from loader.warehouse.errors import UsageError
from loader.warehouse.ledger import mutes as ledger
from loader.warehouse.ledger.mutes import ALL, Mute
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.statements import has_relation
from loader.warehouse.settings import get_settings
from loader.warehouse.text import nearest


def mute(name: str, length: timedelta) -> Mute:
    """Tell nothing of a book, or of all of them, from now on for so long.

    Raises UsageError for a book that nobody knows.
    """
    with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
        return ledger.mute(cursor, _book(cursor, name), length)


def unmute(name: str) -> int:
    """End the mutes of a book, or all that there are; returns how many.

    Raises UsageError for a book that nobody knows.
    """
    with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
        return ledger.unmute(cursor, _book(cursor, name))


def current() -> list[Mute]:
    """The mutes that are on."""
    with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
        return ledger.mutes(cursor)


def _book(cursor: Any, name: str) -> str | None:
    if name.lower() == ALL:
        return None
    known = {book: book for book in get_settings().books}
    # Before the first models are built, those of the settings are all that is known.
    if has_relation(cursor, "marts.book_names"):
        cursor.execute("select book_name, book from marts.book_names")
        known |= dict(cursor.fetchall())
    book = known.get(name.lower())
    if book is None:
        raise UsageError(f"no such book: {name!a}{nearest(name, [*known, ALL])}")
    return book
