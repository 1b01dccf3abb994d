"""From the change on the wire to the message: pump, stream, warehouse, follower and webhook.

A transform runs every minute meanwhile, and a nightly build, as in production.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests import market
from tests.bench.alerts import calm, follower, thresholds_of
from tests.bench.beside import told, transforming
from tests.bench.feed import BOOKS, WIDE_SECONDS
from tests.bench.figures import Table, median
from tests.bench.stage import Stage
from tests.bench.stream import BITSO_FRAMES_A_SECOND, daemon, pumping, wait_until_in_step
from tests.receiver import Received, receiver

# A book is wide for three seconds of these.
EACH_SECONDS = WIDE_SECONDS + 1
THRESHOLD = "0.5 %"


def wire(stage: Stage, *, seconds: int) -> Iterator[Table]:
    """Latency, what was lost and what was doubled."""
    with stage.warehouse() as warehouse:
        warehouse.dbt("seed")
        # Alerts are of books that dbt knows.
        known = calm(datetime.now(UTC) - timedelta(minutes=1), 1)
        market.load(warehouse, [quote._replace(feed="ticker") for quote in known])
        market.build(warehouse)
        with (
            receiver() as hook,
            pumping() as pump,
            daemon(warehouse, stage.directory, pump),
            follower(warehouse, hook),
        ):
            wait_until_in_step(warehouse)
            with transforming(warehouse) as codes:
                wide = pump.send_wide(
                    BITSO_FRAMES_A_SECOND * seconds, BITSO_FRAMES_A_SECOND, EACH_SECONDS
                )
            time.sleep(3)
            opened = [
                one for one in hook.received
                if one.body["event"] == "opened" and THRESHOLD in thresholds_of(one)
            ]  # fmt: skip
    latencies = _latencies(wide, opened)
    yield Table(
        f"Wire: {len(BOOKS)} books, {BITSO_FRAMES_A_SECOND:,} frames a second for {seconds} s, "
        "transforms beside it",
        [
            ("books that were wide, messages", f"{len(wide)}, {len(opened)}"),
            ("lost", f"{len(wide) - len(latencies)}"),
            ("change on the wire to message, p50", f"{median(latencies):.3f} s"),
            ("p99", f"{latencies[int(len(latencies) * 0.99)]:.3f} s"),
            ("longest", f"{latencies[-1]:.3f} s"),
            *told(codes),
        ],
        {"wide": len(wide), "opened": len(opened), "latencies": latencies},
    )


def _latencies(wide: list[tuple[str, float]], opened: list[Received]) -> list[float]:
    """Of each time that a book was wide, to the first message before it was so again."""
    by_book: dict[str, list[float]] = defaultdict(list)
    for message in opened:
        by_book[message.body["book"]].append(message.at)
    found = []
    for number, (book, at) in enumerate(wide):
        again = next((later for other, later in wide[number + 1 :] if other == book), float("inf"))
        heard = [moment for moment in by_book[book] if at <= moment < again]
        if heard:
            found.append(heard[0] - at)
    return sorted(found)
