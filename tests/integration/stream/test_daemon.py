"""The daemon on the simulator's WebSocket, twenty times as fast as life: each fault by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from loader.market import bitso
from loader.stream.daemon import Options, Stream
from loader.stream.spool import Spool
from loader.warehouse.postgres.connection import connect
from loader.wire.rate_budget import LocalBudget, RateLimits
from loader.wire.session import Manners, PoliteSession
from tests.conftest import Warehouse
from tests.exchange.server import SimulatedClock, Simulator
from tests.watch import assert_equal_to_the_simulators, assert_exact

SPEED = 20
BOOKS = ("btc_usd", "eth_usd", "btc_mxn")


class Clock:
    """The simulator's, for the daemon."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.now: Callable[[], datetime] = clock.now

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds / SPEED)

    async def pause(self, seconds: float) -> None:
        """Wait, and let others go on."""
        await asyncio.sleep(seconds / SPEED)


class Rig:
    """A daemon on a simulator."""

    def __init__(
        self,
        warehouse: Warehouse,
        simulator: Simulator,
        spool: Path,
        books: tuple[str, ...] = BOOKS,
    ) -> None:
        self.warehouse = warehouse
        self.simulator = simulator
        self.clock = Clock(simulator.clock)
        budget = LocalBudget("bitso", RateLimits(600), self.clock)
        environment = simulator.environment
        self.stream = Stream(
            books,
            url=environment["WAREHOUSE_BITSO_STREAM_URL"],
            rest=lambda: bitso.Bitso(
                PoliteSession(
                    "bitso", bitso.judge, budget, manners=Manners(5, 2), clock=self.clock
                ),
                environment["WAREHOUSE_BITSO_URL"],
            ),
            spool=Spool(spool),
            connect=lambda: connect("loader"),
            options=Options(depth=5, check_seconds=20),
            clock=self.clock,
        )

    def run(self, live: Callable[["Rig"], Awaitable[None]]) -> None:
        """Stream while something happens; then hold every row against the simulator's books."""

        async def both() -> None:
            running = asyncio.create_task(self.stream.run())
            await self.until(self.is_in_step)
            await live(self)
            self.stream.stop()
            await running

        asyncio.run(both())
        assert_exact(self.warehouse)
        assert_equal_to_the_simulators(self.warehouse, self.simulator, depth=5)

    def is_in_step(self) -> bool:
        """Whether every book is."""
        return all(tracked.book for tracked in self.stream.books.values())

    async def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Wait for something to come true; real seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (
                f"it did not come: {self.causes()}, {self.simulator.faults.in_force()}"
            )
            await asyncio.sleep(0.005)

    async def until_gap(self, cause: str, *, then_in_step: bool = True) -> None:
        """Wait until a gap of some cause is in the account."""
        await self.until(lambda: cause in self.causes())
        if then_in_step:
            await self.until(self.is_in_step)

    async def cause(self, cause: str, *faults: dict[str, Any]) -> None:
        """Have faults come until a gap does: one may hit a frame that a snapshot made old news."""
        while cause not in self.causes():
            self.simulator.faults.clear()
            for fault in faults:
                self.simulator.faults.add(**fault, times=1)
            await self.let_pass(10)
        await self.until(self.is_in_step)

    async def let_pass(self, seconds: float) -> None:
        """Let so much of the daemon's time pass."""
        await self.clock.pause(seconds)

    def causes(self) -> dict[str, int]:
        """Missing seconds, by cause."""
        return dict(
            self.warehouse.rows("select cause, sum(missing_slots) from ops.gaps group by 1")
        )


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    clock = SimulatedClock(speed=SPEED)
    with Simulator(clock=clock, frames_per_second=300, rate_limited=False) as simulator:
        yield simulator


@pytest.fixture
def rig(warehouse: Warehouse, simulator: Simulator, tmp_path: Path) -> Rig:
    return Rig(warehouse, simulator, tmp_path / "spool")


def test_without_a_fault_nothing_is_missing_once_it_has_started(rig: Rig) -> None:
    async def live(rig: Rig) -> None:
        rig.simulator.faults.add("duplicate", times=20)
        rig.simulator.faults.add("reordered_keys", times=20)
        rig.simulator.faults.add("cancel_side", "btc_mxn", times=1, argument="bids")
        await rig.let_pass(60)

    rig.run(live)
    # not_running: this process was held up for a twentieth of a second, and says so
    assert set(rig.causes()) <= {"starting", "not_running"}
    assert rig.stream.books["btc_mxn"].book


@pytest.mark.parametrize("fault", ["gap", "unreadable"])
def test_a_fault_of_one_book_costs_only_its_own_step(rig: Rig, fault: str) -> None:
    async def live(rig: Rig) -> None:
        late = {"name": "old_snapshot", "path": "order_book", "argument": 50}
        await rig.cause("resync", late, {"name": fault, "path": "btc_usd"})

    rig.run(live)
    assert rig.warehouse.rows("select distinct book from ops.gaps where cause = 'resync'") == [
        ("btc_usd",)
    ]
    quarantined = rig.warehouse.rows("select distinct location, reason_code from ops.quarantine")
    assert quarantined == ([("btc_usd", "not_json")] if fault == "unreadable" else [])


@pytest.mark.parametrize(
    "fault", [{"name": "close"}, {"name": "cut_frame"}, {"name": "disconnect"}]
)
def test_a_connection_that_ends_is_opened_anew(rig: Rig, fault: dict[str, Any]) -> None:
    async def live(rig: Rig) -> None:
        rig.simulator.faults.add("refuse", times=2, argument=429)
        rig.simulator.faults.add(**fault, times=1)
        await rig.until_gap("disconnected")

    rig.run(live)
    assert rig.simulator.stream
    assert rig.simulator.stream.counts["handshakes"] == 4
    assert rig.simulator.stream.counts["refused"] == 2


def test_a_book_that_bitso_refuses_is_told_and_the_others_go_on(
    warehouse: Warehouse, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(warehouse, simulator, tmp_path / "spool", (*BOOKS, "none_mxn"))
    others = [rig.stream.books[name] for name in BOOKS]

    async def live() -> None:
        running = asyncio.create_task(rig.stream.run())
        await rig.until(lambda: rig.stream.books["none_mxn"].detail)
        await rig.until(lambda: all(book.book for book in others))
        rig.stream.stop()
        await running

    asyncio.run(live())
    assert rig.stream.books["none_mxn"].detail == "This book is not supported - none_mxn"
    assert caplog.text.count("Bitso refuses: ") == 1


def test_silence_is_no_observation_and_ends_the_connection(rig: Rig) -> None:
    async def live(rig: Rig) -> None:
        rig.simulator.faults.add("stall", times=1)
        await rig.until(
            lambda: rig.warehouse.rows(
                "select 1 from ops.gaps where detail like 'nothing is heard%'"
            )
        )
        await rig.until_gap("disconnected")

    rig.run(live)


def test_dead_data_on_a_live_connection_is_found(rig: Rig) -> None:
    async def live(rig: Rig) -> None:
        rig.simulator.faults.add("dead_data", "eth_usd")
        await rig.until_gap("stale", then_in_step=False)
        rig.simulator.faults.clear()
        await rig.until(rig.is_in_step)

    rig.run(live)
    stale = rig.warehouse.rows("select distinct book from ops.gaps where cause = 'stale'")
    assert stale == [("eth_usd",)]


def test_a_snapshot_that_waits_for_the_rate_budget_is_throttled(rig: Rig) -> None:
    async def live(rig: Rig) -> None:
        limit = {"name": "status", "path": "order_book", "argument": 420}
        await rig.cause("throttled", limit, {"name": "gap", "path": "btc_usd"})

    rig.run(live)
