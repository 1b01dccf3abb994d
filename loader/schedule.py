"""When each job runs and how late it may be: the one place that says so.

The crontab, `loader status` and the freshness of dbt's sources must agree with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from loader.settings import Settings, get_settings


@dataclass(frozen=True)
class Job:
    """A job of the scheduler.

    `stale_after` limits both lags: since the last success, and since the newest event in
    `tables`. A job with `needs` is off until that setting has a value.
    """

    name: str
    period: timedelta
    stale_after: timedelta
    tables: tuple[str, ...] = ()
    needs: Callable[[Settings], object] | None = None
    # A daemon that not everybody has: on where it has ever run, so that no variable can be
    # forgotten and its end does not go unnoticed.
    once_run: bool = False
    # Works through a list and goes on where it stopped: it has succeeded when the list is done.
    resumes: bool = False

    @property
    def is_on(self) -> bool:
        """Whether this warehouse has what the job needs."""
        return self.needs is None or bool(self.needs(get_settings()))


# In ops.cursors, the item of a resuming job that says that its whole list is done.
WHOLE_LIST = "*"

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

SCHEDULE = (
    Job("tickers", MINUTE, 5 * MINUTE, ("bitso_tickers",)),
    Job("order-books", 5 * MINUTE, 15 * MINUTE, ("bitso_order_books",)),
    Job("books", HOUR, 3 * HOUR, ("bitso_books",)),
    Job(
        "exchanges", DAY, DAY + 6 * HOUR, ("coingecko_exchanges", "coingecko_tickers"),
        resumes=True,
    ),
    Job(
        "exchange-volumes", 2 * HOUR, 5 * HOUR, ("coincap_exchanges",),
        needs=lambda settings: settings.coincap_key.get_secret_value(),
    ),
    # A daemon; each minute of it is a run, and has rows as long as any book is in step.
    Job("stream", MINUTE, 3 * MINUTE, once_run=True),
    Job("lake export", 10 * MINUTE, 30 * MINUTE, needs=lambda settings: settings.lake),
    # For each ten minutes its follower writes down one run.
    Job("alerts", 10 * MINUTE, 25 * MINUTE, needs=lambda settings: settings.alert_channels),
    Job("prune", DAY, 2 * DAY),
)  # fmt: skip
