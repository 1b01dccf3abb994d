"""What is due to one address, put into as few messages as say the same."""

import uuid
from collections.abc import Iterable
from typing import NamedTuple

from loader.alerts.known import BookState, Delivery, Episode

_NAMESPACE = uuid.UUID("5f0c9a52-5d43-4f0e-9c2b-6a0b8ce9e6d1")


class Notice(NamedTuple):
    """One message: deliveries of one event to one address.

    Of one book and several thresholds, lowest first; or of several books that are not seen for
    the same cause, or seen again.
    """

    deliveries: tuple[Delivery, ...]

    @property
    def first(self) -> Delivery:
        """Any of them, for what they have in common."""
        return self.deliveries[0]

    @property
    def address(self) -> tuple[str, int]:
        """The channel, and the place of the address in its list."""
        return (self.first.channel, self.first.address)

    @property
    def is_repeat(self) -> bool:
        """Whether it may have arrived already."""
        return any(each.is_repeat for each in self.deliveries)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this message, and for no other message."""
        if self.first.key:
            return self.first.key
        names = [
            [each.book, f"{each.threshold_pct}", each.known_as.isoformat(), each.event,
             each.channel, str(each.address)]
            for each in self.deliveries
        ]  # fmt: skip
        return str(uuid.uuid5(_NAMESPACE, "\n".join(name for row in names for name in row)))


def notices(due: Iterable[Delivery]) -> list[Notice]:
    """The messages, in the order of their first deliveries.

    An attempt that is repeated is the same message again, with those of it that are still due.
    """
    groups: list[list[Delivery]] = []
    for delivery in due:
        group = next((one for one in groups if _belongs(delivery, one)), None)
        if group is None:
            groups.append([delivery])
        else:
            group.append(delivery)
    return [
        Notice(tuple(sorted(group, key=lambda each: (each.threshold_pct or 0, each.book))))
        for group in groups
    ]


def _belongs(delivery: Delivery, group: list[Delivery]) -> bool:
    return all(_go_together(delivery, each) for each in group)


def _go_together(one: Delivery, other: Delivery) -> bool:
    if (one.channel, one.address, one.event, one.key) != (
        other.channel, other.address, other.event, other.key,
    ):  # fmt: skip
        return False
    if one.key:
        return True
    if isinstance(one.about, BookState) and isinstance(other.about, BookState):
        return one.about.cause == other.about.cause
    if one.book != other.book or one.threshold_pct == other.threshold_pct:
        return False
    if isinstance(one.about, Episode) and isinstance(other.about, Episode):
        return (
            one.about.close_reason == other.about.close_reason
            and one.about.opened_at < other.about.seen_until
            and other.about.opened_at < one.about.seen_until
        )
    return True
