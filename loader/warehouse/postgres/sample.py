"""The bundled sample, in a database of its own beside one's own data.

`make run` fills it. Whoever only reads is shown it for as long as there is nothing else to show.
"""

import logging
import os
from contextlib import closing
from functools import cache

import psycopg2
from psycopg2 import errors

from loader.warehouse.postgres.connection import (
    Endpoint,
    endpoint,
    open_connection,
    transaction,
)
from loader.warehouse.settings import Settings, get_settings

SAMPLE = "sample"
LOAD_YOURS = "`make load FILES=DIR` loads your own files beside it"

log = logging.getLogger(__name__)


@cache
def shown_while_alone() -> None:
    """Have this process read the sample, and say so, while one's own database has no rows.

    Nothing is changed where WAREHOUSE_DB names a database, or where there is no sample.
    """
    if "db" in get_settings().model_fields_set:
        return
    own = endpoint()
    if _has_rows(own) or not _has_rows(own._replace(db=SAMPLE)):
        return
    os.environ["WAREHOUSE_DB"] = SAMPLE
    get_settings.cache_clear()
    log.warning("this is the sample, %s has no rows yet: %s", own.db, LOAD_YOURS)


def typed_by_hand(where: Endpoint) -> str:
    """The database that a dbt typed by hand is for, once `loader init` has made this one ready.

    It is the sample's only for as long as one's own has no rows.
    """
    own = str(Settings.model_fields["db"].default)
    return own if where.db == SAMPLE and _has_rows(where._replace(db=own)) else where.db


def _has_rows(where: Endpoint) -> bool:
    """Whether anything was ever loaded into a database; one that is not ours to ask has."""
    try:
        with closing(open_connection(where)) as connection, transaction(connection) as cursor:
            # Old runs are folded into days.
            cursor.execute(
                "select exists (select from ops.runs where rows_inserted > 0) "
                "or exists (select from ops.run_days)"
            )
            [(has_rows,)] = cursor.fetchall()
            return bool(has_rows)
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return False
    except psycopg2.OperationalError as error:
        # Before it is let in, a connection's error has no code: the words are all there is.
        return "does not exist" not in str(error)
    except psycopg2.Error:
        return True
