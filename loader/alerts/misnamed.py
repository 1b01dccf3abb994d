"""Channels of the settings that nothing goes to: most likely somebody has mistyped a name."""

import logging

from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.statements import has_relation
from loader.warehouse.settings import get_settings
from loader.warehouse.text import nearest

# Where `loader report` goes.
REPORT = "report"

log = logging.getLogger(__name__)


def warn_of_misnamed(connection: Connection) -> None:
    """A line in the log for each; none before the models say what the thresholds name."""
    with transaction(connection) as cursor:
        if not has_relation(cursor, "marts.book_thresholds"):
            return
        cursor.execute("select distinct string_to_table(channels, ',') from marts.book_thresholds")
        named = {REPORT, *(name for (name,) in cursor)}
    for name in sorted(get_settings().alert_channels.keys() - named):
        log.warning(
            "WAREHOUSE_ALERT_CHANNELS: no threshold names the channel '%s'%s",
            name, nearest(name, sorted(named)),
        )  # fmt: skip
