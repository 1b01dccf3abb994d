"""What stands in raw and the models left out, because a part of it cannot be read."""

from contextlib import closing
from typing import NamedTuple

from loader.warehouse.postgres.connection import connect


class UnreadableRecords(NamedTuple):
    """So many records of a raw table, and which part of them cannot be read."""

    source: str
    reason: str
    records: int

    def __str__(self) -> str:
        return f"left out of the models: {self.source}: {self.reason}: {self.records}"


def unreadable_records() -> list[UnreadableRecords]:
    """What the last run of the models counted; nothing where they never ran."""
    with closing(connect("loader")) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('marts.unreadable_records') is not null")
        [(is_counted,)] = cursor.fetchall()
        if not is_counted:
            return []
        cursor.execute(
            "select source, reason, records from marts.unreadable_records order by source, reason"
        )
        return [UnreadableRecords(*row) for row in cursor]
