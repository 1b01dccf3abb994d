"""When each job runs, how long it may take and how late it may be.

`scheduler/crontab` says when in cron's own words; a test holds it, the freshness of dbt's sources
and the intervals of `seeds/reference/feeds.csv` against this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from loader.warehouse.clock import DAY, HOUR, MINUTE
from loader.warehouse.settings import Settings, get_settings

# The job that stands for the schedule in the ledger: it leaves a run whenever it begins.
SCHEDULER = "scheduler"


@dataclass(frozen=True)
class ScheduledJob:
    """A job of the scheduler.

    `stale_after` limits both lags: since the last success, and since the newest event in
    `tables`. A run that takes longer than `deadline` is ended; a daemon has none. A job with
    `needs` is off until that setting has a value.
    """

    name: str
    period: timedelta
    stale_after: timedelta
    deadline: timedelta | None = None
    tables: tuple[str, ...] = ()
    # What its bad rows are called in quarantine, beside the names of its tables.
    set_aside_as: tuple[str, ...] = ()
    # What is typed after `loader`, where it is not the name.
    command: str = ""
    needs: Callable[[Settings], object] | None = None
    # A daemon that not everybody runs. It counts as on once it has ever run: so its end is noticed,
    # and there is no variable that somebody could forget to set.
    once_run: bool = False
    # Works through a list and goes on where it stopped: it has succeeded when the list is done.
    resumes: bool = False

    @property
    def typed(self) -> str:
        """What is typed after `loader` to run it."""
        return self.command or self.name

    @property
    def is_on(self) -> bool:
        """Whether this warehouse has what the job needs."""
        return self.needs is None or bool(self.needs(get_settings()))


SCHEDULE = (
    ScheduledJob("books", DAY, DAY + 6 * HOUR, 30 * MINUTE, ("bitso_books",)),
    ScheduledJob("tickers", 10 * MINUTE, 25 * MINUTE, 9 * MINUTE, ("bitso_tickers",)),
    ScheduledJob("order-books", 10 * MINUTE, 25 * MINUTE, 9 * MINUTE, ("bitso_order_books",)),
    # The free plan allows about one call an hour.
    ScheduledJob(
        "exchange-volumes", HOUR, 3 * HOUR, 30 * MINUTE, ("coincap_exchanges",),
        needs=lambda settings: settings.coincap_key.get_secret_value(),
    ),
    # Large files may take their time, and who looks meanwhile is sent away.
    ScheduledJob(
        "snapshots", 10 * MINUTE, 3 * HOUR, 2 * HOUR,
        set_aside_as=("deposits", "withdrawals", "events", "users", "user_levels"),
        needs=lambda settings: settings.inbox,
    ),
    ScheduledJob("transform", 10 * MINUTE, 45 * MINUTE, 30 * MINUTE),
    ScheduledJob(
        "lake export", 10 * MINUTE, 45 * MINUTE, 9 * MINUTE,
        # Of files that were imported by hand: no job of their own could show them.
        set_aside_as=("spread_observations",),
        needs=lambda settings: settings.lake,
    ),
    ScheduledJob("report", HOUR, 3 * HOUR, 30 * MINUTE),
    ScheduledJob(
        "exchanges", DAY, DAY + 6 * HOUR, 5 * HOUR, ("coingecko_exchanges", "coingecko_tickers"),
        resumes=True,
    ),
    ScheduledJob("prune", DAY, 2 * DAY, HOUR),
    ScheduledJob(
        "transform with tests", DAY, DAY + 6 * HOUR, 5 * HOUR, command="transform --tests"
    ),
    # A daemon; each minute of it is a run, and has rows as long as any book is in step.
    ScheduledJob("stream", MINUTE, 3 * MINUTE, set_aside_as=("bitso_stream",), once_run=True),
    # A follower writes one run for each ten minutes.
    ScheduledJob(
        "alerts", 10 * MINUTE, 25 * MINUTE, needs=lambda settings: settings.alert_channels
    ),
)  # fmt: skip
