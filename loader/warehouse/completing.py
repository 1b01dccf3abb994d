"""Names for a shell to complete: of the warehouse where it is up, and quickly; else none."""

import logging
from contextlib import closing

import psycopg2
from psycopg2 import sql

from loader.warehouse.allowance import Allowance
from loader.warehouse.errors import WarehouseError
from loader.warehouse.postgres.connection import connect, running_endpoint, transaction

# Whoever presses Tab waits no longer.
PATIENCE_SECONDS = 1.0


def names_in(table: str, column: str) -> list[str]:
    """The names in a column of a table of marts; none where it is not to be had at once.

    Nothing is started for it, said of it or raised.
    """
    logging.disable()
    try:
        return Allowance(PATIENCE_SECONDS).spend_on(lambda: _asked(table, column))
    except (WarehouseError, psycopg2.Error, OSError, TimeoutError):
        return []
    finally:
        logging.disable(logging.NOTSET)


def _asked(table: str, column: str) -> list[str]:
    where = running_endpoint()
    if where is None:
        return []
    with closing(connect("reader", where)) as connection, transaction(connection) as cursor:
        query = "select distinct cast({} as text) as known from marts.{} order by known"
        cursor.execute(sql.SQL(query).format(sql.Identifier(column), sql.Identifier(table)))
        return [name for (name,) in cursor if name]
