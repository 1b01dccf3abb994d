"""Holds the books against the ticker: a live socket may bring dead data.

It happened elsewhere, with keep-alives that went on: Bittrex/bittrex.github.io#105,
JKorf/Bittrex.Net#211.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NoReturn

from loader.stream.market import parse_tickers
from loader.stream.rest_pool import RestPool
from loader.stream.told import told
from loader.stream.tracked_book import Quote, TrackedBook
from loader.warehouse.clock import AsyncClock
from loader.wire.records import Record

# The ticker may show a quote of any moment of the last minute: ours of that minute all count.
RECENT_SECONDS = 60
SETTLE_SECONDS = 2.0
SECOND_LOOK_SECONDS = 10.0

# Subscribes anew to stale books, or, told True, opens a new connection for all.
Renew = Callable[[list[str], bool], Awaitable[None]]

log = logging.getLogger(__name__)


class TickerCheck:
    """Compares the quotes of all books with the ticker, every so many seconds."""

    def __init__(
        self,
        books: Mapping[str, TrackedBook],
        rest: RestPool,
        clock: AsyncClock,
        seconds: float,
    ) -> None:
        self._books = books
        self._rest = rest
        self._clock = clock
        self._seconds = seconds
        self._recent = {name: deque[Quote](maxlen=RECENT_SECONDS) for name in books}
        # Quotes between two samples count too, while the ticker is looked at.
        self._looking: dict[str, set[Quote]] | None = None
        # Books that were found stale by the last check: if they are again, the connection is to
        # blame.
        self._was_stale: set[str] = set()

    def note_sample(self, tracked: TrackedBook) -> None:
        """A book was sampled."""
        self._recent[tracked.name].append(tracked.quote)

    def note_change(self, tracked: TrackedBook) -> None:
        """A frame changed a book."""
        if self._looking is not None:
            self._looking[tracked.name].add(tracked.quote)

    def forget(self, book: str) -> None:
        """A book was read anew: what it was before is no evidence."""
        self._recent[book].clear()

    async def run(self, renew: Renew) -> NoReturn:
        """Look at the ticker again and again, and have stale books renewed."""
        while True:
            await self._clock.pause(self._seconds)
            suspects = await self._differing()
            if suspects:
                # Once more: a quote may have come and gone unseen.
                await self._clock.pause(SECOND_LOOK_SECONDS)
                again = await self._differing()
                stale = [name for name, since in again.items() if suspects.get(name) == since]
                if stale:
                    await self._cure(stale, renew)
                    continue
            self._was_stale.clear()

    async def _differing(self) -> dict[str, int]:
        """The books that have not been at the ticker's quote lately, with their generation."""
        generations = {name: tracked.generation for name, tracked in self._books.items()}
        self._looking = {name: set() for name in self._books}
        try:
            body = await self._rest.call(lambda client: client.ticker())
            tickers = {
                record.key: record for record in parse_tickers(body) if isinstance(record, Record)
            }
            # What the ticker has seen may still be on its way to us.
            await self._clock.pause(SETTLE_SECONDS)
            seen = {
                name: {*self._looking[name], *self._recent[name], tracked.quote}
                for name, tracked in self._books.items()
                if tracked.book is not None and tracked.generation == generations[name]
            }
        except Exception as error:  # noqa: BLE001 - the next look may be better
            log.warning("the books could not be held against the ticker: %s", told(error))
            return {}
        finally:
            self._looking = None
        return {
            name: generations[name]
            for name, quotes in seen.items()
            if name in tickers and not _has_been_at(quotes, tickers[name])
        }

    async def _cure(self, stale: list[str], renew: Renew) -> None:
        """Subscribe and read anew; the whole connection when that was no help, or most is dead."""
        in_step = sum(tracked.book is not None for tracked in self._books.values())
        is_again = bool(self._was_stale.intersection(stale))
        self._was_stale.update(stale)
        for name in stale:
            log.warning("%s: stale: the ticker shows other prices", name)
            self._books[name].lose("stale")
        await renew(stale, is_again or 2 * len(stale) >= in_step)


def _has_been_at(quotes: Iterable[Quote], ticker: Record) -> bool:
    bids, asks = zip(*quotes, strict=True)
    return ticker.bid in bids and ticker.ask in asks
