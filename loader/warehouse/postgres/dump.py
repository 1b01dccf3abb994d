"""A database as one file, and back: pg_dump and pg_restore, which come with the embedded server."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import RefusedError, TerminalError, TransientError, WarehouseError
from loader.warehouse.postgres.connection import Endpoint
from loader.warehouse.postgres.copy import copy_block
from loader.warehouse.postgres.embedded import BIN

# Who waits for a table to be his alone has pg_dump wait behind him for what the connection of its
# snapshot holds: nobody would ever go on. It asks for so long, and gives up.
_LOCK_WAIT = "2s"
_LOOK_SECONDS = 0.02
_SECTIONS = ("pre-data", "data", "post-data")
_BEGINS_COPY = re.compile(rb"COPY .* FROM stdin;\n")
# For psql, which does not read this script: it begins and ends with one and the same word.
_FOR_PSQL = re.compile(rb"\\restrict (\w+)\n")


class LocksTakenError(TransientError):
    """Somebody waits for a table that pg_dump wants: once he is done, a new snapshot is needed."""


class Dump:
    """A pg_dump at work."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path, said: IO[bytes]) -> None:
        self._process = process
        self._file = file
        self._said = said

    def await_locks(self) -> None:
        """Return once it holds every table that it will read; raises LocksTakenError."""
        while self._process.poll() is None:
            # It has written nothing before.
            if self._file.exists() and self._file.stat().st_size:
                return
            time.sleep(_LOOK_SECONDS)
        self.finish()

    def finish(self) -> None:
        """Return once the file is whole and on the disk; raises TransientError or TerminalError."""
        if code := self._process.wait():
            self._said.seek(0)
            raise _problem("pg_dump", self._said.read(), code)


@contextmanager
def dumping(where: Endpoint, snapshot: str, file: Path, lock: int) -> Iterator[Dump]:
    """Write what a snapshot shows of a database into a file, for as long as the body lasts.

    `lock` is a descriptor that pg_dump has open as well: so a lock on it lasts for as long as
    anybody writes.
    """
    command = (
        str(BIN / "pg_dump"), "--format=custom", "--compress=gzip:1", f"--snapshot={snapshot}",
        f"--lock-wait-timeout={_LOCK_WAIT}", "--no-password", f"--file={file}",
        # What is forbidden there to everybody is for `loader init` to forbid.
        "--exclude-schema=pg_catalog",
    )  # fmt: skip
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, env=_environment(where), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            pass_fds=(lock,),
        )  # fmt: skip
        try:
            yield Dump(process, file, said)
        finally:
            process.kill()
            process.wait()


def _environment(where: Endpoint) -> dict[str, str]:
    # In a list of processes everybody would read it, and a name may look like an option.
    return {
        **os.environ, "LC_ALL": "C", "PGHOST": where.host, "PGPORT": str(where.port),
        "PGUSER": where.user, "PGPASSWORD": where.password, "PGDATABASE": where.db,
    }  # fmt: skip


def _problem(program: str, said: bytes, code: int) -> WarehouseError:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    reason = (errors or lines or [f"exit code {code}"])[0]
    if "statement timeout" in reason:
        return LocksTakenError("somebody waits for a table to be his alone: try again later")
    if "SSL support is not compiled in" in reason:
        reason += ": back it up where PGSSLMODE need not be set, for this program knows no TLS"
    # What it writes to is full, or the server went away.
    passes = ("No space left", "connection", "terminating")
    kind = TransientError if any(words in reason for words in passes) else TerminalError
    return kind(f"{program}: {reason}")


def apply_dump(connection: Connection, file: Path) -> None:
    """Make in the transaction of a connection what a dump holds, on the loader's own connection.

    So it comes with the transaction or not at all, and goes wherever that connection may. Raises
    RefusedError for a file that is no dump.
    """
    for section in _SECTIONS:
        with _script(file, section) as script, connection.cursor() as cursor:
            _run(cursor, script, has_rows=section == "data")


@contextmanager
def _script(file: Path, section: str) -> Iterator[IO[bytes]]:
    command = (str(BIN / "pg_restore"), f"--section={section}", "--file=-", str(file))
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        assert process.stdout
        try:
            yield process.stdout
            code = process.wait()
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        if code:
            said.seek(0)
            raise RefusedError(str(_problem("pg_restore", said.read(), code)))


def _run(cursor: Any, script: IO[bytes], *, has_rows: bool) -> None:
    """Run a script as pg_restore writes it; only that of the data has rows between statements."""
    statements: list[bytes] = []
    for_psql: set[bytes] = set()
    for line in iter(script.readline, b""):
        if not for_psql and (begins := _FOR_PSQL.fullmatch(line)):
            for_psql = {line, b"\\unrestrict " + begins[1] + b"\n"}
        if line in for_psql:
            continue
        if has_rows and _BEGINS_COPY.fullmatch(line):
            _execute(cursor, statements)
            copy_block(cursor, sql.SQL(line.decode()), _Block(script))
            statements = []
        else:
            statements.append(line)
    _execute(cursor, statements)


def _execute(cursor: Any, statements: list[bytes]) -> None:
    if any(line.strip() and not line.startswith(b"--") for line in statements):
        cursor.execute(b"".join(statements))


class _Block:
    """The rows of a COPY within a script, up to the line that ends them."""

    def __init__(self, script: IO[bytes]) -> None:
        self._script = script
        self._is_over = False

    def read(self, size: int) -> bytes:
        """The next rows, about as many bytes; nothing at the end."""
        lines: list[bytes] = []
        while size > 0 and not self._is_over:
            line = self._script.readline()
            self._is_over = line in (b"\\.\n", b"")
            if not self._is_over:
                lines.append(line)
                size -= len(line)
        return b"".join(lines)
