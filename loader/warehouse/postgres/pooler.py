"""Poolers: what stands between us and Postgres may hand each transaction to another session.

pgbouncer does with `pool_mode = transaction` or `statement`, and others like it. Locks of a
session, `set role` and our settings would then be lost, or somebody else's.
"""

from collections.abc import Callable
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as Connection

_LOOKS = 3
# What pgbouncer answers to `begin` where it would hand even each statement to another session.
_NO_TRANSACTIONS = "statement pooling mode"


def mixes_sessions(connection: Connection, another: Callable[[], Connection]) -> bool:
    """Whether transactions of one connection meet different sessions of Postgres.

    Told by the numbers of the processes that answer. Postgres also says that number when the
    connection is made; a pooler, which has none to say yet, makes one up: where both are the same,
    nothing stands between. Else a second connection tries to get hold of the first one's session.
    """
    try:
        ours = {_answering(connection)}
    except psycopg2.Error as error:
        if _NO_TRANSACTIONS in str(error):
            return True
        raise
    if ours == {connection.get_backend_pid()}:
        return False
    theirs = set()
    try:
        with closing(another()) as other:
            for _ in range(_LOOKS):
                theirs.add(_answering(other, stays=True))
                ours |= {_answering(connection), _answering(connection)}
                other.commit()
                ours.add(_answering(connection))
    except psycopg2.OperationalError:
        # The pooler lets no second one in: what the first one has seen is all there is to see.
        pass
    return len(ours) > 1 or bool(ours & theirs)


def _answering(connection: Connection, *, stays: bool = False) -> int:
    """The process that answers; where it `stays`, the transaction that holds it is left open."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        [(pid,)] = cursor.fetchall()
    if not stays:
        connection.commit()
    return int(pid)
