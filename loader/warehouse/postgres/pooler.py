"""Poolers: what stands between us and Postgres may hand each transaction to another session.

pgbouncer does with `pool_mode = transaction` or `statement`, and others like it. Locks of a
session, `set role` and our settings would then be lost, or somebody else's.
"""

import contextlib
from collections.abc import Callable
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as Connection

_LOOKS = 3


def mixes_sessions(connection: Connection, another: Callable[[], Connection]) -> bool:
    """Whether transactions of one connection meet different sessions of Postgres.

    Told by the numbers of the processes that answer. Postgres also says that number when the
    connection is made; a pooler, which has none to say yet, makes one up: where both are the same,
    nothing stands between. Else a second connection tries to get hold of the first one's session.
    """
    try:
        ours = {_answering(connection)}
    except psycopg2.OperationalError:
        if _has_no_transactions(another):
            return True
        raise
    if ours == {connection.get_backend_pid()}:
        return False
    # The pooler may let no second one in: then what the first one sees is all there is to see.
    with contextlib.suppress(psycopg2.OperationalError), closing(another()) as other:
        for _ in range(_LOOKS):
            if _answering(other, stays=True) in ours:
                return True
            ours.add(_answering(connection))
            other.commit()
            # Twice: free sessions may be handed out in turn.
            ours |= {_answering(connection), _answering(connection)}
    return len(ours) > 1


def _has_no_transactions(another: Callable[[], Connection]) -> bool:
    """Whether it is a pooler that hangs up on who begins one, as pgbouncer in mode `statement`."""
    with contextlib.suppress(psycopg2.OperationalError), closing(another()) as other:
        other.autocommit = True
        return _answering(other) != other.get_backend_pid()
    return False


def _answering(connection: Connection, *, stays: bool = False) -> int:
    """The process that answers; where it `stays`, the transaction that holds it is left open."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        [(pid,)] = cursor.fetchall()
    if not stays:
        connection.commit()
    return int(pid)
