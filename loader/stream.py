"""`loader stream`: every book, every wall-clock second, or a gap that says why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from loader.clock import SYSTEM_CLOCK, AsyncClock
from loader.sources.bitso import Bitso
from loader.spool import Spool

JOB = "stream"


@dataclass(frozen=True)
class Options:
    """What can be set: `depth` levels a side, seconds between two looks at the ticker."""

    depth: int = 10
    check_seconds: float = 180.0


class Stream:
    """The daemon, on an event loop of its caller's.

    `url` is the WebSocket's; `rest` makes a REST client, one for each thread that calls; `spool`
    keeps what is not in Postgres yet; `connect` leads to Postgres. All time is `clock`'s: slots
    are whole seconds of its `now`, waits are its `pause`, so a test may scale or move it.
    """

    def __init__(
        self,
        books: Sequence[str],
        *,
        url: str,
        rest: Callable[[], Bitso],
        spool: Spool,
        connect: Callable[[], Connection],
        options: Options = Options(),
        clock: AsyncClock = SYSTEM_CLOCK,
    ) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Stream until `stop`; returns when all seconds are committed and the run is closed.

        Raises AlreadyRunningError when another instance is at work, TransientError when Postgres
        cannot be reached at the start.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """End cleanly, soon; to be called on the loop (`call_soon_threadsafe` from elsewhere)."""
        raise NotImplementedError
