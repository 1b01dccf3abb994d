"""A migration lets others read while it waits for one who holds what it changes."""

import threading
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from loader.warehouse.errors import TransientError
from loader.warehouse.postgres import migrate
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse
from tests.waiting import wait_for

CHANGE = "alter table ops.runs add column another integer"
ASKS = "set lock_timeout = '2s'; select count(*) from ops.runs"
IS_CHANGED = "select 1 from information_schema.columns where column_name = 'another'"


@pytest.fixture(autouse=True)
def _one_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "9999_another.sql").write_text(CHANGE)
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)


def test_who_holds_a_table_for_long_delays_the_migration_and_nobody_else(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_PAUSES", (0.1, 0.1))
    with closing(connect()) as holder, holder.cursor() as cursor:
        cursor.execute("select count(*) from ops.runs")
        failed: list[TransientError] = []

        def try_it() -> None:
            with pytest.raises(TransientError, match=r"9999_another\.sql waits for others") as info:
                migrate.migrate()
            failed.append(info.value)

        attempt = threading.Thread(target=try_it)
        attempt.start()
        # Nobody of them runs into its limit.
        while attempt.is_alive():
            warehouse.rows(ASKS)
        attempt.join()
        assert failed
    assert warehouse.rows(IS_CHANGED) == []
    assert migrate.migrate() == ["9999_another.sql"]
    assert warehouse.rows(IS_CHANGED) == [(1,)]


def test_it_goes_through_when_they_let_go(warehouse: Warehouse) -> None:
    with closing(connect()) as holder, holder.cursor() as cursor:
        cursor.execute("select count(*) from ops.runs")
        attempt = threading.Thread(target=migrate.migrate)
        attempt.start()
        waits = "select 1 from pg_locks where not granted and relation = 'ops.runs'::regclass"
        wait_for(lambda: warehouse.rows(waits), "a migration that waits")
        holder.rollback()
        attempt.join()
    assert warehouse.rows(IS_CHANGED) == [(1,)]
