"""What a check brings: findings, which somebody should read, and facts, which are just so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from psycopg2.extensions import connection as Connection

from loader.operations.status import JobStatus
from loader.warehouse.clock import Clock
from loader.warehouse.settings import Settings

# fail: somebody should look, the exit code is 1; warn: something is not as it should be; note:
# somebody has wanted it so.
Weight = Literal["fail", "warn", "note"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, since when (None: nobody knows), and what to do about it."""

    what: str
    to_do: str
    since: datetime | None = None
    weight: Weight = "warn"
    # The job that it is about, if it is about one.
    job: str | None = None


class Fact(NamedTuple):
    """Something that is known, right or wrong: for machines, and in words."""

    name: str
    value: Any
    told: str


@dataclass(frozen=True)
class Scene:
    """What checks look at. Those of this host have no connection, nor do they know of jobs."""

    settings: Settings
    clock: Clock
    now: datetime
    connection: Connection | None = None
    cursor: Any = None
    jobs: Sequence[JobStatus] = ()
    # Whether a schedule runs the jobs, or once did.
    is_scheduled: bool = False

    def rows(self, query: str, values: Any = None) -> list[Any]:
        """What Postgres answers."""
        self.cursor.execute(query, values)
        found: list[Any] = self.cursor.fetchall()
        return found


class Check(NamedTuple):
    """Something to look at, by the name that machines know it by."""

    name: str
    look: Callable[[Scene], Iterator[Finding | Fact]]
