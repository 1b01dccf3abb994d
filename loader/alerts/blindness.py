"""Which messages about books that are not seen are due: no I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from loader.alerts.known import Attempt, BookState, Delivery, Event
from loader.alerts.plan import ARRIVED, Plan
from loader.alerts.tries import is_due, is_under_way, turn_of
from loader.warehouse.ledger.mutes import Mute, muted_until

Place = tuple[str, str, int]


def plan_blindness(
    found: Plan,
    states: Iterable[BookState],
    attempts: Iterable[Attempt],
    mutes: Sequence[Mute],
    addresses: Callable[[str], int],
    now: datetime,
) -> None:
    """Put into a plan: a book is told blind once, and seen once after that.

    `attempts` are those at what nobody was told the end of.
    """
    tried: dict[Place, list[Attempt]] = defaultdict(list)
    for one in attempts:
        tried[one.book, one.channel, one.address].append(one)
    for state in states:
        if muted_until(mutes, state.book, now):
            continue
        for channel in filter(None, state.channels.split(",")):
            for address in range(1, addresses(channel) + 1):
                _plan_place(
                    found,
                    state,
                    channel,
                    address,
                    tried.pop((state.book, channel, address), []),
                    now,
                )
    for (book, _, _), left in tried.items():
        # Nobody watches the book any more, or nobody is at that address.
        if not muted_until(mutes, book, now):
            found.forgotten.extend(one for one in left if one.is_open)


def _plan_place(
    found: Plan, state: BookState, channel: str, address: int, tried: list[Attempt], now: datetime
) -> None:
    since = max((one.opened_at for one in tried), default=state.blind_since)
    mine = [one for one in tried if one.opened_at == since]
    told = [one for one in mine if one.event == "blind"]
    event: Event = "blind" if state.is_blind else "seen"
    if since is None or (event == "seen" and not told):
        return
    if event == "seen" and not any(one.status in ARRIVED for one in told):
        if not any(one.status == "sending" for one in told):
            found.forgotten.extend(one for one in told if one.is_open)
        return
    tries = [one for one in mine if one.event == event]
    if not is_under_way(tries, now) and is_due(tries):
        found.due.append(
            Delivery(
                state.book, None, since, since, event, channel, address, *turn_of(tries), state
            )
        )
