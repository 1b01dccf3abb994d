"""Which messages about alerts are due: decided from what is seen and what was tried, no I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from loader.alerts.known import INSTANT, Attempt, Delivery, Episode, Event, Grown, View, Watch
from loader.alerts.tries import DeliveryLimits, is_due, is_under_way, turn_of
from loader.warehouse.ledger.mutes import last_end, muted_until

# An alert that goes on is noted to reach further no more often than this.
NOTED_EACH = timedelta(seconds=5)
_ENDS = ("closed", "withdrawn")
# It arrived, or may have.
ARRIVED = ("sent", "unknown")
Thing = TypeVar("Thing", Episode, Attempt)


@dataclass
class Plan:
    """What to do now.

    `due`: what is to be told; `too_old` and `muted`: alerts that nobody is told of;
    `without_address`: what nobody can be told; `forgotten`: openings that never arrived, of
    alerts that are no more; `grown`: how far alerts reach.
    """

    due: list[Delivery] = field(default_factory=list)
    too_old: list[Episode] = field(default_factory=list)
    muted: list[Episode] = field(default_factory=list)
    without_address: list[Delivery] = field(default_factory=list)
    forgotten: list[Attempt] = field(default_factory=list)
    grown: list[Grown] = field(default_factory=list)


def unseen(view: View) -> bool:
    """Whether anything was told of that is not seen any more: then `Judged` is needed."""
    seen = _by_watch(view.episodes)
    return any(
        not any(_overlap(episode, attempts) for episode in seen[watch])
        and not all(_is_taken_back(mine) for mine in _by_address(attempts).values())
        for watch, tried in _by_watch(view.attempts).items()
        for attempts in _by_opening(tried).values()
    )


def _is_taken_back(told: list[Attempt]) -> bool:
    """Whether an address needs to hear no more of what is not seen."""
    tries = [one for one in told if one.event == "withdrawn"]
    return bool(tries) and not any(one.status == "sending" or one.retry_at for one in tries)


def plan(view: View, addresses: Callable[[str], int], limits: DeliveryLimits) -> Plan:
    """Sort out what is due, by opening; when an opening fails, its closing is to wait for it."""
    found = Plan()
    seen, tried = _by_watch(view.episodes), _by_watch(view.attempts)
    for watch in {**seen, **tried}:
        if muted_until(view.mutes, watch[0], view.now):
            continue
        attempts = _by_opening(tried[watch])
        episodes = sorted(seen[watch], key=lambda episode: episode.opened_at)
        _plan_watch(found, view, episodes, attempts, addresses, limits)
        _plan_unseen(found, view, watch, episodes, attempts)
    found.due.sort(key=lambda delivery: delivery.known_as)
    return found


def _plan_watch(
    found: Plan,
    view: View,
    episodes: list[Episode],
    tried: Mapping[datetime, list[Attempt]],
    addresses: Callable[[str], int],
    limits: DeliveryLimits,
) -> None:
    """What is due about the episodes of one book and threshold."""
    # What was told as one is about the last part of it, where late rows have split it since.
    about = {
        name: episode
        for episode in episodes
        for name, attempts in tried.items()
        if _overlap(episode, attempts)
    }
    # While the models move on, an alert that was told of may be out of sight, and come back as
    # one that goes on.
    is_held = any(
        name not in about and any(one.is_open for one in attempts) and _is_hidden(view, name)
        for name, attempts in tried.items()
    )
    for episode in episodes:
        names = [name for name, its in about.items() if its is episode]
        if not names and (is_held or any(_overlap(episode, its) for its in tried.values())):
            continue
        if not names and _is_passed_over(found, view, episode, limits):
            continue
        for name in names:
            _note_growth(found, episode, name, tried[name])
        attempts = [one for name in names for one in tried[name]]
        for channel in filter(None, episode.channels.split(",")):
            _plan_channel(found, view.now, episode, channel, attempts, addresses(channel))


def _is_passed_over(found: Plan, view: View, episode: Episode, limits: DeliveryLimits) -> bool:
    """Whether nobody is to hear of an episode that nobody has heard of yet."""
    closed_at = episode.closed_at
    if closed_at and muted_until(view.mutes, episode.book, closed_at):
        found.muted.append(episode)
        return True
    unmuted = last_end(view.mutes, episode.book, episode.opened_at, closed_at)
    if max(filter(None, (episode.opened_at, unmuted))) < view.now - limits.oldest:
        found.too_old.append(episode)
        return True
    return False


def _plan_channel(
    found: Plan,
    now: datetime,
    episode: Episode,
    channel: str,
    attempts: list[Attempt],
    addresses: int,
) -> None:
    of_channel = [one for one in attempts if one.channel == channel]
    latest = max((one.opened_at for one in attempts), default=episode.opened_at)
    events: tuple[Event, ...] = ("opened", "closed") if episode.closed_at else ("opened",)
    # 0 stands for nobody.
    for address in range(1, addresses + 1) if addresses else [0]:
        mine = [one for one in of_channel if one.address == address]
        # A late row may have joined alerts into one: what was told last counts as told of it.
        known_as = max((one.opened_at for one in mine), default=latest)
        told = [one for one in mine if one.opened_at == known_as]
        over = [one.seen_until for one in told if one.event in _ENDS and one.status in ARRIVED]
        if over and episode.closed_at is None:
            # It goes on after all, or again: that is news to who was told that it is over.
            known_as = max(known_as + INSTANT, min(max(over), episode.last_observed_at))
            told = []
        elif any(one.event == "withdrawn" for one in told):
            continue
        subject = (episode.book, episode.threshold_pct, known_as, episode.seen_until)
        if not addresses:
            noted = {one.event for one in told}
            found.without_address.extend(
                Delivery(*subject, event, channel, 0, 1, False, None, episode)
                for event in events
                if event not in noted
            )
            continue
        for event in events:
            tries = [one for one in told if one.event == event]
            if is_under_way(tries, now):
                # Nobody hears that it closed before having heard that it opened.
                break
            if is_due(tries):
                turn = turn_of(tries)
                found.due.append(Delivery(*subject, event, channel, address, *turn, episode))


def _plan_unseen(
    found: Plan,
    view: View,
    watch: Watch,
    episodes: list[Episode],
    tried: Mapping[datetime, list[Attempt]],
) -> None:
    """What was told of and is no more: it is taken back, once, from each who heard of it."""
    for name, attempts in tried.items():
        if any(_overlap(episode, attempts) for episode in episodes) or not _is_certain(view, name):
            continue
        for mine in _by_address(attempts).values():
            opened = [one for one in mine if one.event == "opened"]
            is_over = any(one.event == "closed" and one.status in ARRIVED for one in mine)
            if is_over and view.judged and watch not in view.judged.watched:
                # Its threshold is gone, and with it the models' memory of it.
                continue
            if any(one.status in ARRIVED for one in opened):
                _take_back(found, view.now, mine)
            elif not any(one.status == "sending" for one in opened):
                found.forgotten.extend(one for one in opened if one.is_open)


def _take_back(found: Plan, now: datetime, told: list[Attempt]) -> None:
    tries = [one for one in told if one.event == "withdrawn"]
    if is_under_way(tries, now) or not is_due(tries):
        return
    last = max(told, key=lambda one: one.seen_until)
    number, is_repeat, key = turn_of(tries)
    found.due.append(
        Delivery(
            last.book, last.threshold_pct, last.opened_at, last.seen_until, "withdrawn",
            last.channel, last.address, number, is_repeat, key, None,
        )
    )  # fmt: skip


def _note_growth(found: Plan, episode: Episode, name: datetime, told: list[Attempt]) -> None:
    noted = max(one.seen_until for one in told)
    if episode.closed_at is None and episode.seen_until > noted + NOTED_EACH:
        found.grown.append(Grown(episode.book, episode.threshold_pct, name, episode.seen_until))


def _is_certain(view: View, name: datetime) -> bool:
    """Whether it would be seen if it were still there."""
    return bool(view.judged and name >= view.since and view.judged.knows(name))


def _is_hidden(view: View, name: datetime) -> bool:
    """Whether it may still be there though it is not seen."""
    return bool(view.judged and name >= view.since and not view.judged.knows(name))


def _overlap(episode: Episode, told: Iterable[Attempt]) -> bool:
    return any(
        one.opened_at < episode.seen_until and episode.opened_at < one.seen_until for one in told
    )


def _by_watch(things: Iterable[Thing]) -> defaultdict[Watch, list[Thing]]:
    found = defaultdict(list)
    for one in things:
        found[one.book, one.threshold_pct or Decimal(0)].append(one)
    return found


def _by_opening(attempts: Iterable[Attempt]) -> dict[datetime, list[Attempt]]:
    found = defaultdict(list)
    for one in attempts:
        found[one.opened_at].append(one)
    return found


def _by_address(attempts: Iterable[Attempt]) -> dict[tuple[str, int], list[Attempt]]:
    found = defaultdict(list)
    for one in attempts:
        if one.address:
            found[one.channel, one.address].append(one)
    return found
