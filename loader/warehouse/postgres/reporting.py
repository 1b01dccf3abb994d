"""The time of day where people read: by the database's clock, in the zone in which days are cut."""

from contextlib import closing
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect, transaction
from loader.warehouse.postgres.roles import Role
from loader.warehouse.postgres.sample import shown_while_alone


def reporting_now(role: Role) -> datetime:
    """Now, in the reporting time zone; in UTC where nothing is modelled yet."""
    if role == "reader":
        shown_while_alone()
    with closing(connect(role)) as connection:
        return reporting_now_on(connection)


def reporting_now_on(connection: Connection) -> datetime:
    """The same, asked on a connection that there is."""
    now: datetime
    with transaction(connection) as cursor:
        cursor.execute("select now(), to_regclass('marts.reporting_settings') is not null")
        [(now, is_modelled)] = cursor.fetchall()
        if not is_modelled:
            return now.astimezone(UTC)
        cursor.execute("select reporting_timezone from marts.reporting_settings")
        [(zone,)] = cursor.fetchall()
    try:
        return now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise TerminalError(
            f"this machine does not know the time zone {zone}: install tzdata, or type a date"
        ) from None
