"""`loader backup`: the warehouse as it is at one moment, in a new entry of a folder."""

import contextlib
import logging
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.operations.backup_entries import (
    DUMP,
    FORMAT,
    SPOOL,
    EntryInMaking,
    Manifest,
    digest_of,
    drop_old,
    in_making,
)
from loader.stream.spool_copy import copy_spool
from loader.stream.word import spool_path
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.ledger.identity import warehouse_id
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import Endpoint, connect, endpoint
from loader.warehouse.postgres.contents import contents, freeze, objects
from loader.warehouse.postgres.dump import Dump, LocksTakenError, dumping
from loader.warehouse.postgres.migrate import applied_migrations
from loader.warehouse.postgres.role_copies import database_grants, kept_roles
from loader.warehouse.settings import get_settings
from loader.warehouse.text import shown_path

JOB = "backup"
_ATTEMPTS = 10

log = logging.getLogger(__name__)


def backup(folder: Path) -> LedgerRun:
    """Make a new entry in a folder and drop those that are too many; `detail` of the run says what.

    The run itself is opened after the moment that the entry is of: no entry holds its own. Raises
    AlreadyRunningError while another one is at work, TransientError where the disk is full or
    somebody else is in the way.
    """
    where, settings = endpoint(), get_settings()
    with (
        exclusive(JOB) as ledger,
        closing(connect(where=where)) as frozen,
        in_making(folder) as entry,
        contextlib.ExitStack() as at_work,
    ):
        has_spool = copy_spool(spool_path(settings), entry.path / SPOOL)
        dump = _begin(frozen, where, entry, at_work)
        with ledger_run(ledger, JOB, {"to": shown_path(folder), "dropped": []}) as run:
            manifest = _finish(frozen, where, entry, dump, has_spool=has_spool)
            entry.finish(manifest)
            run.detail["entry"] = manifest.name
            run.detail["dropped"] = drop_old(folder, manifest.warehouse_id, settings.backups_kept)
            run.detail["bytes"] = manifest.size
            run.detail["tables"] = len(manifest.tables)
            run.detail["rows"] = sum(rows for rows, _ in manifest.tables.values())
    return run


def _begin(
    connection: Connection, where: Endpoint, entry: EntryInMaking, at_work: contextlib.ExitStack
) -> Dump:
    """Let the connection see one moment, and pg_dump write what it sees."""
    for _ in range(_ATTEMPTS):
        dump = at_work.enter_context(
            dumping(where, _freeze(connection, where), entry.path / DUMP, entry.lock)
        )
        try:
            dump.await_locks()
        except LocksTakenError:
            connection.rollback()
            (entry.path / DUMP).unlink(missing_ok=True)
        else:
            log.info("dumping %s", where.db)
            return dump
    raise LocksTakenError("somebody always waits for a table to be his alone: try again later")


def _freeze(connection: Connection, where: Endpoint) -> str:
    try:
        return freeze(connection)
    except psycopg2.errors.InsufficientPrivilege as error:
        raise TerminalError(
            f"{where.user} may not read all of {where.db} ({str(error).splitlines()[0]}): back it "
            "up as its owner, with WAREHOUSE_USER"
        ) from None


def _finish(
    connection: Connection, where: Endpoint, entry: EntryInMaking, dump: Dump, *, has_spool: bool
) -> Manifest:
    """What the manifest of the entry is to say, once all of its files are whole."""
    with connection.cursor() as cursor:
        held = contents(cursor)
        known = _known(cursor)
        dump.finish()
        # A view's or a function's text is not of the snapshot: the catalogue tells the latest.
        if objects(cursor) != held.objects:
            raise TransientError("views or functions changed meanwhile: try again later")
    names = [DUMP, *([SPOOL] if has_spool else [])]
    return Manifest(
        format=FORMAT,
        version=version("bitso-warehouse"),
        server_version=connection.server_version,
        database=where.db,
        user=where.user,
        tables=held.tables,
        objects=held.objects,
        files={name: digest_of(entry.path / name) for name in names},
        **known,
    )


def _known(cursor: Any) -> dict[str, Any]:
    cursor.execute("select now()")
    [(now,)] = cursor.fetchall()
    taken_at: datetime = now.astimezone(UTC)
    return {
        "taken_at": taken_at,
        "warehouse_id": warehouse_id(cursor),
        "migrations": applied_migrations(cursor),
        "roles": kept_roles(cursor),
        "database_grants": database_grants(cursor),
    }
