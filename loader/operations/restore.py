"""`loader restore`: a warehouse in an empty database, made from a backup and held against it."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.operations.backup_entries import DUMP, SPOOL, Manifest, find_whole
from loader.stream.spool_copy import assert_no_spool, restamp
from loader.stream.word import spool_path
from loader.warehouse.errors import RefusedError, TerminalError
from loader.warehouse.ledger.identity import give_id
from loader.warehouse.ledger.runs import finished_run
from loader.warehouse.postgres.connection import connect, interruptible, transaction
from loader.warehouse.postgres.contents import Contents, contents, difference, is_empty
from loader.warehouse.postgres.dump import apply_dump
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.postgres.migrate import assert_not_newer, ensure_database, migrating
from loader.warehouse.postgres.role_copies import adopt, grant_database, make_roles, stand_in
from loader.warehouse.settings import get_settings
from loader.warehouse.text import told_path

JOB = "restore"

log = logging.getLogger(__name__)


def restore(source: Path) -> tuple[Path, Manifest]:
    """Make the warehouse of an entry, or of a folder's newest whole one; returns which it was.

    All of it comes in one transaction, which is only committed once the database holds what the
    manifest says: whatever ends it before leaves the place empty. Raises RefusedError for an entry
    that is not whole and for a place that is not empty.
    """
    entry, manifest, refused = find_whole(source)
    for line in refused:
        log.warning("%s", line)
    assert_not_newer(manifest.migrations)
    spool = spool_path(get_settings())
    assert_no_spool(spool)
    ensure_database()
    with interruptible(), closing(connect()) as connection:
        with (
            _known_errors(),
            contextlib.ExitStack() as taken_back,
            transaction(connection) as cursor,
        ):
            _fill(connection, cursor, entry, manifest)
            new = str(uuid.uuid4())
            give_id(cursor, new)
            finished_run(cursor, JOB, {
                "entry": manifest.name, "database": manifest.database,
                "was_warehouse": manifest.warehouse_id,
            })  # fmt: skip
            # Before the commit: without its spool the warehouse would take its seconds for lost,
            # while a spool without its warehouse is only in the way.
            if SPOOL in manifest.files:
                taken_back.callback(spool.unlink, missing_ok=True)
                restamp(entry / SPOOL, spool, manifest.warehouse_id, new)
            connection.commit()
            taken_back.pop_all()
        # The planner knows nothing of the rows yet.
        with transaction(connection) as cursor:
            cursor.execute("analyze")
    return entry, manifest


@contextlib.contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise database_error(error) from None


def _fill(connection: Connection, cursor: Any, entry: Path, manifest: Manifest) -> None:
    migrating(cursor)
    if not is_empty(cursor):
        settings = get_settings()
        raise RefusedError(
            f"the database {settings.db} is not empty, and a backup takes nobody's place: name a "
            "new one in WAREHOUSE_DB, or another server"
        )
    log.info("restoring %s", told_path(entry))
    make_roles(cursor, manifest.roles)
    was_owner = stand_in(cursor, manifest.user)
    apply_dump(connection, entry / DUMP)
    if was_owner:
        adopt(cursor, was_owner)
    grant_database(cursor, manifest.database_grants)
    log.info("holding it against the manifest")
    differs = difference(
        Contents(manifest.tables, manifest.objects),
        contents(cursor),
        same_major=connection.server_version // 10_000 == manifest.server_version // 10_000,
    )
    if differs:
        raise TerminalError(
            f"{told_path(entry)}: nothing is restored, for this server makes {differs} otherwise "
            "than it was"
        )
