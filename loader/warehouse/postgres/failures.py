"""What an error of Postgres is about: the row, the database, or the moment.

Sorted by SQLSTATE, whose classes are listed in PostgreSQL's documentation, appendix A.
"""

from typing import Literal

import psycopg2

from loader.warehouse.errors import TerminalError, TransientError, WarehouseError

Cause = Literal["row", "database", "passing"]

# Data, a constraint, more than one row where one belongs, a value too large or too deep.
_OF_THE_ROW = ("22", "23", "21", "54")
# Lost connections, deadlock and serialization, locks and state, operator, too many connections, a
# session that was ended because it took long, read only: a server that recovers or has just changed
# places takes rows again by itself.
_PASSING = ("08", "40", "55", "57", "53300", "25P03", "25P04", "25006")
# Nothing of this passes by itself either, but waiting helps: somebody makes room, cron asks again.
_NO_ROOM = ("53",)

# A connection that was not made has no SQLSTATE, only words: Postgres's own, libpq's, pgbouncer's.
_NO_ENTRY = (
    "password", "authentication", "does not exist", "pg_hba.conf", "permission denied",
    "not permitted to log in", "no such", "SSL was required", "does not support SSL", "certificate",
    "unsupported startup parameter", 'parameter "', "command-line argument",
)  # fmt: skip
_INVALID_AUTHORIZATION, _CONNECTION_FAILURE, _DATA_EXCEPTION = "28000", "08006", "22000"

_INIT_FIRST = "run `loader init` and `loader transform` first"
_WHAT_TO_DO = {
    "42P01": _INIT_FIRST,
    "3F000": _INIT_FIRST,
    "42883": _INIT_FIRST,
    "42501": "run `loader init` as the owner of the database, which grants what is needed",
    "25006": "the server takes no writes: it is a standby, or set to read only",
    "53200": "give the server more memory, or a higher max_locks_per_transaction",
    "53100": "make room on the disk of the server",
}


class NeverAskedError(psycopg2.OperationalError):
    """A connection that libpq did not begin, because of what the environment tells it."""


def state_of(error: psycopg2.Error) -> str:
    """Its SQLSTATE; the nearest one where it has none, as when a connection was not made.

    An empty text for what is a fault of the program.
    """
    if error.pgcode:
        return error.pgcode
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        is_final = isinstance(error, NeverAskedError) or any(
            words in str(error) for words in _NO_ENTRY
        )
        return _INVALID_AUTHORIZATION if is_final else _CONNECTION_FAILURE
    return _DATA_EXCEPTION if isinstance(error, psycopg2.DataError) else ""


def cause_of(error: psycopg2.Error) -> Cause:
    """Whose fault the error is.

    `row`: the statement's data; without that row the rest goes in. `database`: nothing goes in
    until somebody has mended it (a privilege, a missing relation, a full disk). `passing`: the
    same statement may work in a moment.
    """
    state = state_of(error)
    if state.startswith(_PASSING):
        return "passing"
    return "row" if state.startswith(_OF_THE_ROW) else "database"


def cannot_hold(error: psycopg2.Error) -> str:
    """Why a row is set aside that Postgres refuses."""
    return "Postgres cannot hold it: " + str(error).splitlines()[0]


def waiting_helps(state: str) -> bool:
    """Whether what failed with this SQLSTATE may work later without a change of ours."""
    return state.startswith((*_PASSING, *_NO_ROOM))


def advice(state: str) -> str:
    """What to do about a SQLSTATE, to be put behind what Postgres said; often nothing."""
    return f": {_WHAT_TO_DO[state]}" if state in _WHAT_TO_DO else ""


def known_error(error: psycopg2.Error | WarehouseError) -> WarehouseError:
    """The error as one of ours."""
    return database_error(error) if isinstance(error, psycopg2.Error) else error


def database_error(error: psycopg2.Error) -> WarehouseError:
    """One line for what Postgres said, sorted into try again and do not."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    state = state_of(error)
    message = f"Postgres: {lines[0].removeprefix('ERROR: ').strip()}{advice(state)}"
    return TransientError(message) if waiting_helps(state) else TerminalError(message)
