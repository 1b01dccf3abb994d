"""What an error of Postgres is about: the row, the database, or the moment.

Sorted by SQLSTATE, whose classes are listed in PostgreSQL's documentation, appendix A.
"""

from typing import Literal

import psycopg2

from loader.warehouse.errors import TerminalError, TransientError, WarehouseError

Cause = Literal["row", "database", "passing"]

# Data, a constraint, more than one row where one belongs, a value too large or too deep.
_OF_THE_ROW = ("22", "23", "21", "54")
# Lost connections, deadlock and serialization, locks and state, operator, too many connections,
# read only: a server that recovers or has just changed places takes rows again by itself.
_PASSING = ("08", "40", "55", "57", "53300", "25006")
# Nothing of this passes by itself either, but waiting helps: somebody makes room, cron asks again.
_NO_ROOM = ("53",)


def cause_of(error: psycopg2.Error) -> Cause:
    """Whose fault the error is.

    `row`: the statement's data; without that row the rest goes in. `database`: nothing goes in
    until somebody has mended it (a privilege, a missing relation, a full disk). `passing`: the
    same statement may work in a moment.
    """
    state = error.pgcode or ""
    if state.startswith(_PASSING):
        return "passing"
    if state.startswith(_OF_THE_ROW):
        return "row"
    if state:
        return "database"
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        # The connection was lost, or never made: there is nobody to give a state.
        return "passing"
    return "row" if isinstance(error, psycopg2.DataError) else "database"


def database_error(error: psycopg2.Error) -> WarehouseError:
    """One line for what Postgres said, sorted into try again and do not."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    message = lines[0].removeprefix("ERROR: ").strip()
    state = error.pgcode or ""
    if cause_of(error) == "passing" or state.startswith(_NO_ROOM):
        return TransientError(f"Postgres: {message}")
    # No such table, schema or function.
    if state in {"42P01", "3F000", "42883"}:
        return TerminalError(f"Postgres: {message}: run `loader init` and `dbt build` first")
    return TerminalError(f"Postgres: {message}")
