"""A version at which commands are typed, here with the tests' own environment."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.embedded import SUPERUSER
from loader.warehouse.settings import PROJECT_ROOT
from tests.bench.site import Site
from tests.conftest import BIN

LOAD = "loader snapshots {here}/seeds/sample"
VALUES = {"here": PROJECT_ROOT}
NONE = {"here": PROJECT_ROOT / "nowhere"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One with a warehouse of its own."""
    site = Site("this one", PROJECT_ROOT, BIN, tmp_path_factory.mktemp("site") / "now")
    try:
        site.open()
        yield site
    finally:
        site.close()


def snapshots(site: Site) -> int:
    """How many are current."""
    embedded = site._embedded
    with closing(
        psycopg2.connect(
            host="127.0.0.1", port=embedded.running_port(), user=SUPERUSER,
            password=embedded.password, dbname="warehouse",
        )
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute("select count(*) from raw.snapshots")
        return int(cursor.fetchall()[0][0])


def test_each_run_starts_from_the_same_state(site: Site) -> None:
    state = site.prepare((), VALUES)
    for _ in range(2):
        site.reset(state)
        assert snapshots(site) == 0
        told = site.measure(LOAD, VALUES, {0})
        assert told.keys() == {"wall", "cpu", "server_cpu", "peak_mib"}
        assert told["wall"] > 0
        assert snapshots(site) > 0


def test_what_is_typed_before_is_typed_once(site: Site) -> None:
    state = site.prepare((LOAD,), VALUES)
    site.reset(state)
    loaded = snapshots(site)
    assert loaded > 0
    assert site.prepare((LOAD,), VALUES) == state
    assert snapshots(site) == loaded


def test_a_command_that_fails_is_told_with_its_last_line(site: Site) -> None:
    with pytest.raises(TerminalError, match=r"^this one: .*: exit code 2: loader: .*nowhere"):
        site.measure(LOAD, NONE, {0})
    assert site.measure(LOAD, NONE, {0, 2})["wall"] > 0


def test_a_command_that_a_version_does_not_have(site: Site) -> None:
    with pytest.raises(TerminalError, match="this one has no command nonesuch"):
        site.measure("nonesuch", {}, {0})
