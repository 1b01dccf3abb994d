"""The watchdog outside hears of the follower while it reads fresh data, and costs it nothing."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Warehouse
from tests.local_server import QuietHandler, free_port, serving
from tests.receiver import Receiver
from tests.telling import announce, channels, follower, put
from tests.waiting import read_until, wait_for

SECRET = "s3cret"
OFTEN = "0.2"


@contextmanager
def watchdog(status: int = 200, *, hangs: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Where it listens, and the paths that it was told of."""
    pings: list[str] = []

    class Watching(QuietHandler):
        def do_POST(self) -> None:
            pings.append(self.path)
            if hangs:
                self.hold()
            self.send_response(status)
            self.end_headers()

    with serving(Watching) as server:
        yield f"{server.url}/{SECRET}", pings


@contextmanager
def watched(warehouse: Warehouse, hook: Receiver, url: str) -> Iterator[subprocess.Popen[str]]:
    with follower(
        warehouse, pings=OFTEN, WAREHOUSE_WATCHDOG_URL=url, WAREHOUSE_ALERT_TIMEOUT_SECONDS="600",
        **channels(default=hook.address()),
    ) as process:  # fmt: skip
        yield process


def put_book(warehouse: Warehouse, *, is_blind: bool) -> None:
    warehouse.rows(
        "insert into marts.book_states values (%s, %s, now(), now(), 'nobody watches')",
        f"b{is_blind}_mxn".lower(), is_blind,
    )  # fmt: skip


def test_it_hears_of_fresh_data_again_and_again(alerts: Warehouse, hook: Receiver) -> None:
    put_book(alerts, is_blind=True)
    put_book(alerts, is_blind=False)
    with watchdog() as (url, pings), watched(alerts, hook, url):
        wait_for(lambda: len(pings) > 2, lambda: f"pings: {pings}")
    assert set(pings) == {f"/{SECRET}"}


@pytest.mark.parametrize("state", ["blind", "nothing watched", "no mart", "broken mart"])
def test_it_hears_nothing_without_fresh_data(alerts: Warehouse, hook: Receiver, state: str) -> None:
    if state == "blind":
        put_book(alerts, is_blind=True)
    if state == "no mart":
        alerts.rows("drop table marts.book_states")
    if state == "broken mart":
        # Only the watchdog asks it with this column.
        alerts.rows("alter table marts.book_states alter is_blind type text using 'no boolean'")
    with watchdog() as (url, pings), watched(alerts, hook, url):
        for count in range(1, 4):
            put(alerts, f"a{count}_mxn", opened=1)
            announce(alerts)
            hook.wait_for(count)
        assert pings == []


@pytest.mark.parametrize("fault", ["refuses", "hangs", "nobody there", "no address"])
def test_a_ping_that_fails_disturbs_no_alert_and_is_no_leak(
    alerts: Warehouse, hook: Receiver, fault: str
) -> None:
    put_book(alerts, is_blind=False)
    with watchdog(500, hangs=fault == "hangs") as (there, pings):
        url = {
            "nobody there": f"http://127.0.0.1:{free_port()}/{SECRET}",
            "no address": f"http://nowhere.invalid/{SECRET}",
        }
        with watched(alerts, hook, url.get(fault, there)) as process:
            lines = []
            if fault != "hangs":
                lines = read_until(process.stderr, "the ping did not go through")
            else:
                wait_for(lambda: pings, "a ping")
            put(alerts, opened=1)
            announce(alerts)
            hook.wait_for(1)
            lines += read_until(process.stderr, ": sent")
            process.terminate()
            assert process.stderr
            lines += process.stderr.readlines()
    assert SECRET not in "".join(lines)
    assert len(pings) == 1 if fault == "hangs" else True
