"""Whether the database is one that this version of the loader can work with."""

import platform
from collections.abc import Iterator
from datetime import timedelta
from importlib import metadata

from loader.operations.checks.finding import Fact, Finding, Scene
from loader.warehouse.postgres.migrate import applied_migrations, migrations, newer_than_ours

# More than two clocks that are set by the network ever differ.
CLOCKS_APART = timedelta(seconds=5)
_INIT = "run `loader init`, as the owner of the database"


def schema(scene: Scene) -> Iterator[Finding | Fact]:
    """Whether raw and ops are those of this version; and which versions there are."""
    theirs = applied_migrations(scene.cursor)
    if missing := [file.name for file in migrations() if file.name not in theirs]:
        yield Finding(
            f"the schema is older than the loader: {missing[0]} is not applied",
            _INIT,
            weight="fail",
        )
    if newer := newer_than_ours(theirs):
        yield Finding(
            f"the schema is newer than the loader: it has {newer[-1]}",
            "update the loader on this host, or use the version that made the schema",
            weight="fail",
        )
    [(server,)] = scene.rows("show server_version")
    known = {
        "loader": metadata.version("bitso-warehouse"),
        "schema": max(theirs, default="none").partition("_")[0],
        "postgres": server.partition(" ")[0],
        "python": platform.python_version(),
    }
    told = "loader {loader}, schema {schema}, PostgreSQL {postgres}, Python {python}"
    yield Fact("versions", known, told.format(**known))


def writable(scene: Scene) -> Iterator[Finding | Fact]:
    """Whether the server takes writes."""
    [(is_standby, is_read_only)] = scene.rows(
        "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
    )
    yield Fact("is_read_only", is_standby or is_read_only, "")
    if is_standby:
        yield Finding(
            "the server takes no writes: it is a standby",
            "set WAREHOUSE_HOST to the primary, or promote this one",
            weight="fail",
        )
    elif is_read_only:
        yield Finding(
            "the server takes no writes: default_transaction_read_only is on",
            "see who has set that, and why (`\\drds` in psql, postgresql.conf), and reset it",
            weight="fail",
        )


def clocks(scene: Scene) -> Iterator[Finding | Fact]:
    """How far the clock of the database is ahead of this host's."""
    asked = scene.clock.now()
    [(theirs,)] = scene.rows("select clock_timestamp()")
    took = scene.clock.now() - asked
    ahead = theirs - asked - took / 2
    # Not -0.0.
    seconds = round(ahead.total_seconds(), 1) + 0.0
    yield Fact("database_clock_ahead_seconds", seconds, f"clock of the database: {seconds:+.1f} s")
    if abs(ahead) - took / 2 > CLOCKS_APART:
        yield Finding(
            f"the clock of the database is {abs(seconds):,.1f} s "
            f"{'ahead of' if seconds > 0 else 'behind'} this host's",
            "have both set by the network (NTP): lateness and ages are wrong until then",
        )
