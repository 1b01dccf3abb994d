"""The daemon on the simulator's WebSocket, on a clock that the test moves: each fault by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loader.market import bitso
from loader.stream.daemon import Options, Stream
from loader.stream.order_book import Diff, OrderBook
from loader.stream.spool import Spool
from loader.warehouse.postgres.connection import connect
from loader.wire.rate_budget import LocalBudget, RateLimits
from loader.wire.session import HttpReply, Manners, PoliteSession
from tests.clocks import SteppedClock
from tests.conftest import Warehouse
from tests.exchange.hostile import NAMELESS_FRAMES, hostile_frames
from tests.exchange.market import BOOKS as ALL_BOOKS
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS, wait_on_loop
from tests.watch import assert_equal_to_the_simulators, assert_exact

BOOKS = ("btc_usd", "eth_usd", "btc_mxn")
# Of the daemon's time. What has not come by then will never come.
LONGEST_SECONDS = 600


class PromptSession(PoliteSession):
    """The clock stands still for a call, but for what the call itself waits for on that clock."""

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        budget = LocalBudget("bitso", RateLimits(600), clock)
        manners = Manners(LAST_RESORT_SECONDS, 2)
        super().__init__("bitso", bitso.judge, budget, manners=manners, clock=clock)

    def fetch(self, *where: Any) -> HttpReply:
        """GET a JSON body."""
        with self._clock.held():
            return super().fetch(*where)


def size_of(spool: Path) -> int:
    """Its bytes; none before the daemon has made it."""
    return spool.stat().st_size if spool.exists() else 0


class DaemonRig:
    """A daemon on a simulator, and the clock of both."""

    def __init__(
        self, warehouse: Warehouse, simulator: Simulator, clock: SteppedClock, spool: Path
    ) -> None:
        self.warehouse = warehouse
        self.simulator = simulator
        self.clock = clock
        self.spool = spool
        self.stream = self._stream(check_seconds=20)

    def _stream(self, check_seconds: float, books: tuple[str, ...] = BOOKS) -> Stream:
        environment = self.simulator.environment
        return Stream(
            books,
            url=environment["WAREHOUSE_BITSO_STREAM_URL"],
            rest=lambda: bitso.Bitso(PromptSession(self.clock), environment["WAREHOUSE_BITSO_URL"]),
            spool=Spool(self.spool),
            connect=lambda: connect("loader"),
            options=Options(depth=5, check_seconds=check_seconds),
            clock=self.clock,
        )

    def watch(self, books: tuple[str, ...]) -> None:
        """Stream other books."""
        self.stream = self._stream(check_seconds=20, books=books)

    def never_check(self) -> None:
        """Do without the look at the ticker: silence is to be noticed by itself."""
        self.stream = self._stream(check_seconds=1e6)

    def run(self, live: Callable[["DaemonRig"], Awaitable[None]]) -> None:
        """Stream while something happens; then hold every row against the simulator's books."""

        async def both() -> None:
            running = asyncio.create_task(self.stream.run())
            try:
                await self.until(self.is_in_step)
                await live(self)
                # some seconds in step, to be held against the simulator's books
                await self.let_pass(3)
            finally:
                self.stream.stop()
                self.clock.let_go()
                await running

        asyncio.run(both())
        assert_exact(self.warehouse)
        assert_equal_to_the_simulators(self.warehouse, self.simulator, depth=5)

    def is_in_step(self) -> bool:
        """Whether every book is."""
        return all(tracked.book for tracked in self.stream.books.values())

    async def until(self, condition: Callable[[], object]) -> None:
        """Let time pass until something has come true."""
        for _ in range(LONGEST_SECONDS):
            if condition():
                return
            await self.let_pass(1)
        pytest.fail(f"it did not come: {self.causes()}, {self.simulator.faults.in_force()}")

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

    async def let_pass(self, seconds: int) -> None:
        """Let so much of the daemon's time pass; what it observed is in Postgres then."""
        for _ in range(seconds):
            await self.clock.let_pass(1)
            await wait_on_loop(lambda: not size_of(self.spool), "an empty spool")

    def causes(self) -> dict[str, int]:
        """Missing seconds, by cause."""
        return dict(
            self.warehouse.rows("select cause, sum(missing_slots) from ops.gaps group by 1")
        )


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def simulator(clock: SteppedClock) -> Iterator[Simulator]:
    with Simulator(clock=clock, frames_per_second=17, rate_limited=False) as simulator:
        assert simulator.live
        # of the other books nobody would see a frame
        simulator.live.paused = {book for book in ALL_BOOKS if book not in BOOKS}
        yield simulator


@pytest.fixture
def rig(
    warehouse: Warehouse,
    simulator: Simulator,
    clock: SteppedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> DaemonRig:
    # How long the end may take is a promise of the command's, not of these tests.
    monkeypatch.setattr("loader.stream.daemon.STOP_SECONDS", LAST_RESORT_SECONDS)
    return DaemonRig(warehouse, simulator, clock, tmp_path / "spool")


def test_without_a_fault_nothing_is_missing_once_it_has_started(rig: DaemonRig) -> None:
    async def live(rig: DaemonRig) -> None:
        rig.simulator.faults.add("duplicate", times=20)
        rig.simulator.faults.add("reordered_keys", times=20)
        rig.simulator.faults.add("cancel_side", "btc_mxn", times=1, argument="bids")
        await rig.let_pass(60)

    rig.run(live)
    assert set(rig.causes()) <= {"starting"}
    assert rig.stream.books["btc_mxn"].book


@pytest.mark.parametrize("fault", ["gap", "unreadable"])
def test_a_fault_of_one_book_costs_only_its_own_step(rig: DaemonRig, fault: str) -> None:
    async def live(rig: DaemonRig) -> None:
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
def test_a_connection_that_ends_is_opened_anew(rig: DaemonRig, fault: dict[str, Any]) -> None:
    async def live(rig: DaemonRig) -> None:
        rig.simulator.faults.add("refuse", times=2, argument=429)
        rig.simulator.faults.add(**fault, times=1)
        await rig.until_gap("disconnected")

    rig.run(live)
    assert rig.simulator.stream
    assert rig.simulator.stream.counts["handshakes"] == 4
    assert rig.simulator.stream.counts["refused"] == 2


def test_a_book_that_bitso_refuses_is_told_and_the_others_go_on(
    rig: DaemonRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.watch((*BOOKS, "none_mxn"))
    others = [rig.stream.books[name] for name in BOOKS]

    async def live() -> None:
        running = asyncio.create_task(rig.stream.run())
        await rig.until(lambda: rig.stream.books["none_mxn"].detail)
        await rig.until(lambda: all(book.book for book in others))
        rig.stream.stop()
        rig.clock.let_go()
        await running

    asyncio.run(live())
    assert rig.stream.books["none_mxn"].detail == "This book is not supported - none_mxn"
    assert caplog.text.count("Bitso refuses: ") == 1


def test_silence_is_no_observation_and_ends_the_connection(rig: DaemonRig) -> None:
    async def live(rig: DaemonRig) -> None:
        rig.simulator.faults.add("stall", times=1)
        # else it is over between two samples
        rig.simulator.faults.add("refuse", times=2, argument=503)
        await rig.until(
            lambda: rig.warehouse.rows(
                "select 1 from ops.gaps where detail like 'nothing is heard%'"
            )
        )
        await rig.until_gap("disconnected")

    rig.never_check()
    rig.run(live)


def test_dead_data_on_a_live_connection_is_found(rig: DaemonRig) -> None:
    async def live(rig: DaemonRig) -> None:
        rig.simulator.faults.add("dead_data", "eth_usd")
        await rig.until_gap("stale", then_in_step=False)
        rig.simulator.faults.clear()
        await rig.until(rig.is_in_step)

    rig.run(live)
    stale = rig.warehouse.rows("select distinct book from ops.gaps where cause = 'stale'")
    assert stale == [("eth_usd",)]


def test_a_snapshot_that_waits_for_the_rate_budget_is_throttled(rig: DaemonRig) -> None:
    async def live(rig: DaemonRig) -> None:
        limit = {"name": "status", "path": "order_book", "argument": 420}
        await rig.cause("throttled", limit, {"name": "gap", "path": "btc_usd"})

    rig.run(live)


def test_hostile_frames_cost_their_book_alone(
    rig: DaemonRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = hostile_frames("btc_usd")
    # As many as come here are kept.
    monkeypatch.setattr("loader.stream.socket.BAD_FRAMES_A_MINUTE", 1000)
    rig.watch(BOOKS)

    async def live(rig: DaemonRig) -> None:
        assert rig.simulator.stream
        counts = rig.simulator.stream.counts
        for sent, frame in enumerate(hostile + NAMELESS_FRAMES):
            rig.simulator.faults.add("unreadable", "btc_usd", times=1, argument=frame)
            # It comes in the place of a good one, which btc_usd misses then.
            await rig.until(lambda: counts["unreadable"] > sent)  # noqa: B023

    rig.run(live)
    lost = rig.warehouse.rows("select distinct book from ops.gaps where cause = 'resync'")
    # Mostly it is in step again within the second.
    assert set(lost) <= {("btc_usd",)}
    kept = rig.warehouse.rows(
        "select location, count(*), max(length(raw)) from ops.quarantine group by 1 order by 1"
    )
    silent = ("error", "response")
    told = [frame for frame in NAMELESS_FRAMES if not any(word in str(frame) for word in silent)]
    assert [row[:2] for row in kept] == [
        ("btc_usd", len(hostile)), ("diff-orders", len(told)),
    ]  # fmt: skip
    assert all(longest <= 10_000 for *_, longest in kept)
    messages = [one.getMessage() for one in caplog.records if one.name.startswith("loader")]
    assert all(message.isprintable() for message in messages)


def test_a_fault_of_ours_in_one_frame_costs_its_book_alone(
    rig: DaemonRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, faults = OrderBook.apply, iter([True])

    def fail_once(book: OrderBook, diff: Diff) -> bool:
        if diff.book == "btc_usd" and next(faults, False):
            raise KeyError("a fault")
        return apply(book, diff)

    async def live(rig: DaemonRig) -> None:
        monkeypatch.setattr(OrderBook, "apply", fail_once)
        await rig.until(lambda: rig.warehouse.rows("select 1 from ops.quarantine"))
        await rig.until(rig.is_in_step)

    rig.run(live)
    lost = rig.warehouse.rows("select distinct book from ops.gaps where cause = 'resync'")
    assert lost in ([], [("btc_usd",)])
    [(code, reason)] = rig.warehouse.rows("select reason_code, reason from ops.quarantine")
    assert code == "not_taken"
    assert "a fault of this program, please report it: KeyError at test_daemon.py:" in reason
    assert reason in caplog.text
