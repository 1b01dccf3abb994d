"""What people hear, and do not: messages that did not arrive, mutes, books that nobody sees."""

from collections.abc import Iterator

from loader.operations.checks.finding import Fact, Finding, Scene
from loader.operations.schedule import SCHEDULE
from loader.warehouse.ledger import deliveries
from loader.warehouse.ledger.mutes import ALL, mutes
from loader.warehouse.postgres.statements import has_relation
from loader.warehouse.text import counted

_MOST_NAMED = 5
_DAEMONS = {job.name for job in SCHEDULE if job.once_run}


def waiting(scene: Scene) -> Iterator[Finding | Fact]:
    """Messages that did not go through and are tried again."""
    yield from _undelivered(
        "waiting",
        deliveries.undelivered(scene.cursor),
        "not delivered yet",
        "look into the receiver: they are tried again by themselves",
    )


def given_up(scene: Scene) -> Iterator[Finding | Fact]:
    """Messages of the last day that are tried no more."""
    yield from _undelivered(
        "given_up",
        deliveries.given_up(scene.cursor),
        "of the last 24 hours given up",
        "perhaps nobody was told: look into the receiver; `dashboards ask alert-delivery` "
        "counts them, `dashboards ask spread-alerts` has the alerts",
    )


def _undelivered(
    name: str, found: deliveries.Undelivered, what: str, to_do: str
) -> Iterator[Finding | Fact]:
    yield Fact(f"messages_{name}", found.messages, "")
    if found.messages:
        told = f"{counted(found.messages, 'message')} {what}: {found.reason}"
        yield Finding(told, to_do, found.since, job="alerts")


def muted(scene: Scene) -> Iterator[Finding | Fact]:
    """Books of which nothing is told, for so long."""
    found = mutes(scene.cursor)
    until = {one.book or ALL: one.until.isoformat() for one in reversed(found)}
    yield Fact("muted_until", until, "")
    for one in found:
        yield Finding(
            str(one),
            f"`loader alerts mute {one.book or ALL} --for 0` ends it",
            one.since,
            weight="note",
        )


def blind(scene: Scene) -> Iterator[Finding | Fact]:
    """Books that nobody sees, where anybody is to watch all the time."""
    is_live = scene.is_scheduled or any(
        job.job in _DAEMONS and job.state != "off" for job in scene.jobs
    )
    if not is_live or not has_relation(scene.cursor, "marts.book_states"):
        return
    for cause, books, since in scene.rows(
        "select cause, array_agg(book order by book), min(blind_since) from marts.book_states "
        "where is_blind group by cause order by cause"
    ):
        more = f" and {len(books) - _MOST_NAMED} more" * (len(books) > _MOST_NAMED)
        yield Finding(
            f"blind: {', '.join(books[:_MOST_NAMED])}{more}: {cause}",
            "run `loader tickers`, and see that it or the stream runs on; `dashboards ask "
            "observation-coverage` has the causes",
            since,
        )
