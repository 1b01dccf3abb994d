"""What the tests of Metabase share: a login that reads, the commands, and plain HTTP."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import requests
from click.testing import CliRunner, Result
from psycopg2 import sql

from dashboards.cli import main
from tests.conftest import Server, Warehouse
from tests.waiting import LAST_RESORT_SECONDS

Json = dict[str, Any]

EMAIL = "admin@example.com"
PASSWORD = "Adm1n%of$all"
READER_PASSWORD = "Re4der'of\\marts"


@contextmanager
def reader(server: Server, sampled: Warehouse) -> Iterator[dict[str, str]]:
    """The login of Metabase, and the settings that say how it gets to the warehouse."""
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "create role metabase_reader login password {} in role warehouse_reader"
            ).format(sql.Literal(READER_PASSWORD))
        )
    try:
        yield _settings(sampled)
    finally:
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute("drop role metabase_reader")


@contextmanager
def rotated(server: Server, password: str) -> Iterator[None]:
    """The login of Metabase with another password, and afterwards with its own again."""
    change = sql.SQL("alter role metabase_reader password {}")
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(change.format(sql.Literal(password)))
        try:
            yield
        finally:
            cursor.execute(change.format(sql.Literal(READER_PASSWORD)))


def _settings(sampled: Warehouse) -> dict[str, str]:
    return {
        "WAREHOUSE_METABASE_EMAIL": EMAIL,
        "WAREHOUSE_METABASE_PASSWORD": PASSWORD,
        "WAREHOUSE_METABASE_READER_HOST": sampled.where.host,
        "WAREHOUSE_METABASE_READER_PORT": str(sampled.where.port),
        "WAREHOUSE_METABASE_READER_DB": sampled.where.db,
        "WAREHOUSE_METABASE_READER_USER": "metabase_reader",
        "WAREHOUSE_METABASE_READER_PASSWORD": READER_PASSWORD,
        "WAREHOUSE_METABASE_WAIT_SECONDS": str(LAST_RESORT_SECONDS),
        "WAREHOUSE_METABASE_TIMEOUT_SECONDS": str(LAST_RESORT_SECONDS),
    }


def dashboards(*arguments: str) -> Result:
    """`dashboards ...`, in this process."""
    return CliRunner().invoke(main, list(arguments))


def applied(*options: str) -> Result:
    """`dashboards apply`, gone well."""
    done = dashboards("apply", *options)
    assert done.exit_code == 0, done.output
    return done


class Client:
    """Anybody who speaks to a Metabase over HTTP."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.headers = headers

    def log_in(self, email: str, password: str) -> None:
        """Be somebody."""
        body = {"username": email, "password": password}
        self.headers["X-Metabase-Session"] = self.told("post", "/api/session", body)["id"]

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        """What a request is answered."""
        return requests.request(
            method,
            self.url + path,
            json=body,
            params=query,
            headers=self.headers,
            timeout=LAST_RESORT_SECONDS,
        )

    def told(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON that a request is answered, gone well."""
        reply = self.send(method, path, body, **query)
        assert reply.ok, f"{method} {path}: {reply.status_code}: {reply.text}"
        return reply.json()
