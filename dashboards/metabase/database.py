"""Metabase's connection to the warehouse: made, mended, and waited for until it sees the marts."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from dashboards.metabase import wanted
from dashboards.metabase.changes import Change, Changes
from dashboards.metabase.marks import Json
from dashboards.metabase.session import Session
from dashboards.questions import Question, tables_of
from loader.warehouse.errors import TerminalError, TransientError, UsageError
from loader.warehouse.redaction import redacted
from loader.warehouse.settings import Settings


@dataclass
class WarehouseConnection:
    """The database of Metabase's that is the warehouse; `id` is None until there is one."""

    session: Session
    settings: Settings
    changes: Changes
    questions: Iterable[Question]
    id: int | None = None

    def provide(self) -> int | None:
        """Its id; None in a plan where it is new."""
        name, details = wanted.COLLECTION, _details(self.settings)
        known = [
            each for each in self.session.read("/api/database")["data"] if each["name"] == name
        ]
        if not known:
            body = {
                "name": name,
                "engine": "postgres",
                "details": details | {"password": self._reader_password()},
                "is_full_sync": True,
                "is_on_demand": False,
                "auto_run_queries": True,
            }
            made = self.changes.make(
                Change("create", "database", name),
                lambda: self.session.create("/api/database", body),
            )
            if made:
                self.id = made["id"]
                self._wait_for_tables()
            return self.id
        if len(known) > 1:
            raise TerminalError(
                f"Metabase has {len(known)} databases named {name!r}: rename others"
            )
        self.id = known[0]["id"]
        self._update(name, details)
        return self.id

    def _update(self, name: str, details: Json) -> None:
        kept = self.session.read(f"/api/database/{self.id}")
        there = kept.get("details") or {}
        if kept.get("engine") != "postgres" or there.get("user") != details["user"]:
            raise TerminalError(
                f"Metabase has a database {name!r} that is not ours (another engine or login): "
                "rename it"
            )
        if differing := sorted(key for key in details if there.get(key) != details[key]):
            body = {"details": details | {"password": self._reader_password()}}
            self.changes.make(
                Change("update", "database", name, tuple(differing)),
                lambda: self.session.update(f"/api/database/{self.id}", body),
            )
        elif problem := self._connection_problem():
            self.changes.notice(f"Metabase cannot connect to {name!r}: {problem}")
            self.changes.make(
                Change("update", "database", name, ("password",)),
                lambda: self._deliver_password(details),
            )
        if self._tables_missing():
            self.changes.make(Change("sync", "database", name), self._sync)

    def _connection_problem(self) -> str | None:
        """Why Metabase cannot log in now, with the password that it keeps and does not tell.

        A query would not tell: it may go by a connection from before the password was changed.
        """
        health = self.session.find(f"/api/database/{self.id}/healthcheck") or {}
        if health.get("status") != "error":
            return None
        return redacted(" ".join(str(health.get("message") or "no reason given").split()))

    def _deliver_password(self, details: Json) -> None:
        body = {"details": details | {"password": self._reader_password()}}
        self.session.update(f"/api/database/{self.id}", body)
        # It may be the old one again: then nothing has changed, and Metabase tries nothing.
        if problem := self._connection_problem():
            raise TerminalError(
                f"Metabase cannot connect with WAREHOUSE_METABASE_READER_PASSWORD: {problem}"
            )

    def _reader_password(self) -> str:
        password = self.settings.metabase_reader_password.get_secret_value()
        if not password:
            raise UsageError(
                "set WAREHOUSE_METABASE_READER_PASSWORD, the password that Metabase reads with"
            )
        return password

    def _sync(self) -> None:
        self.session.create(f"/api/database/{self.id}/sync_schema", None)
        self._wait_for_tables()

    def _tables_missing(self) -> set[str]:
        metadata = self.session.read(f"/api/database/{self.id}/metadata")
        seen = {table["name"] for table in metadata["tables"] if table["schema"] == "marts"}
        return set().union(*map(tables_of, self.questions)) - seen

    def _wait_for_tables(self) -> None:
        deadline = time.monotonic() + self.settings.metabase_wait_seconds
        while lacking := self._tables_missing():
            if time.monotonic() > deadline:
                raise TransientError(
                    f"Metabase sees no marts.{min(lacking)} yet: has dbt built it? then try again"
                )
            time.sleep(0.5)


def _details(settings: Settings) -> Json:
    """How Metabase connects, but for the password."""
    host = settings.metabase_reader_host or settings.host
    if not host:
        raise UsageError(
            "set WAREHOUSE_METABASE_READER_HOST, where Metabase finds the warehouse's Postgres"
        )
    return {
        "host": host,
        "port": settings.metabase_reader_port or settings.port or 5432,
        "dbname": settings.metabase_reader_db or settings.db,
        "user": settings.metabase_reader_user,
        "ssl": False,
        "schema-filters-type": "inclusion",
        "schema-filters-patterns": "marts",
    }
