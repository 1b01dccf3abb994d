"""`python -m loader.operations.dbt_process ...`: dbt as it is typed, as a child of `loader`.

It starts faster: Python's collector looks through all that dbt imports and reads again and again,
and finds next to nothing: a quarter of the seconds of a short run. The process ends before it would
be missed. Its sessions are ours (`dbt_session`), and it ends with its parent, whose end of the pipe
that is its stdin is closed then, however the parent came to its end.
"""

import gc
import os
import sys
import threading
from functools import partial

import psycopg2

from loader.operations.dbt_session import DbtConnection, give_up

# How long Postgres has to hear that it need not go on.
GRACE_SECONDS = 10.0


def end_with_parent() -> None:
    """Wait for the end of the parent, which writes nothing."""
    # Not sys.stdin: the interpreter could not end while it is read.
    os.read(0, 1)
    threading.Timer(GRACE_SECONDS, os._exit, (1,)).start()
    give_up()
    os._exit(1)


def main() -> None:
    """Run dbt, with the arguments of this process."""
    gc.disable()
    psycopg2.connect = partial(psycopg2.connect, connection_factory=DbtConnection)
    threading.Thread(target=end_with_parent, daemon=True).start()

    # It takes seconds, in which the parent may end.
    from loader.operations.dbt_runner import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
