"""The polite session: how long it waits, where it goes, what it gives away."""

import email.utils
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loader.warehouse.errors import TerminalError, TransientError
from loader.wire.session import retry_after
from tests.clocks import NOON, ManualClock
from tests.exchange.rig import SourcesRig
from tests.exchange.server import Simulator


@pytest.fixture
def rig(simulators: Simulator) -> Iterator[SourcesRig]:
    simulators.requests.clear()
    yield SourcesRig(simulators, 4, clock=ManualClock())
    simulators.faults.clear()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        (email.utils.format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90),
        ("Mon, 05 Jan 2026 12:01:30 -0000", 90),
        (email.utils.format_datetime(NOON - timedelta(seconds=90), usegmt=True), 0),
        ("-5", 0),
        ("9" * 400, 86_400),
        ("Thu, 05 Jan 2096 12:01:30 GMT", 86_400),
        ("soon", 0),
        ("٣", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}, NOON) == seconds
    assert retry_after({}, NOON) == 0


def _throttle(rig: SourcesRig, retry_after: str | None, times: int | None = 1) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    rig.simulator.faults.add("status", times=times, argument={"status": 429, "headers": headers})


def test_retry_after_is_honoured(rig: SourcesRig) -> None:
    _throttle(rig, "17")
    next(rig.coincap().exchanges())
    # Counted from when the reply was here; the rest was spent at work.
    assert 16 < sum(rig.clock.slept) < 19


def test_retry_after_as_a_date_is_honoured(rig: SourcesRig) -> None:
    moment = rig.clock.now() + timedelta(seconds=30)
    _throttle(rig, email.utils.format_datetime(moment, usegmt=True))
    next(rig.coincap().exchanges())
    assert 27 <= sum(rig.clock.slept) < 32


def test_a_retry_after_beyond_the_cap_is_not_slept_and_not_broken(rig: SourcesRig) -> None:
    _throttle(rig, "121")
    with pytest.raises(TransientError, match=r"no call is free for another 12. s"):
        next(rig.coincap().exchanges())
    assert max(rig.clock.slept) < 2
    assert len(rig.simulator.requests) == 1


def test_bitso_is_left_alone_for_a_minute_whatever_it_asks_for(rig: SourcesRig) -> None:
    _throttle(rig, "1")
    rig.bitso.ticker("btc_mxn")
    assert 59 <= sum(rig.clock.slept) <= 62


def test_retries_are_bounded_and_jittered(rig: SourcesRig) -> None:
    rig.simulator.faults.add("status", argument=503)
    for _ in range(3):
        with pytest.raises(TransientError, match=r"HTTP 503 .*\(4 attempts\)"):
            rig.bitso.ticker("btc_mxn")
    assert len(rig.simulator.requests) == 12
    assert len(set(rig.clock.slept)) == 9
    assert all(0 <= pause <= 4 for pause in rig.clock.slept)


def test_what_is_final_is_not_tried_again(rig: SourcesRig) -> None:
    rig.simulator.faults.add("status", argument=400)
    with pytest.raises(TerminalError):
        rig.bitso.ticker("btc_mxn")
    assert len(rig.simulator.requests) == 1


def test_a_redirect_elsewhere_is_not_followed_with_the_key(rig: SourcesRig) -> None:
    with Simulator(3) as elsewhere:
        rig.simulator.faults.add("redirect", argument=f"{elsewhere.url}/coincap/v3/exchanges")
        with pytest.raises(TerminalError, match="another host"):
            next(rig.coincap().exchanges())
        assert elsewhere.requests == []


def test_every_hop_of_a_redirect_counts_as_a_call(rig: SourcesRig) -> None:
    rig.simulator.faults.add("redirect", times=2)
    rig.bitso.ticker("btc_mxn")
    for _ in range(47):
        assert rig.bitso_budget.try_take() == 0
    assert rig.bitso_budget.try_take() > 0


def test_no_password_is_taken_from_a_netrc(
    rig: SourcesRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    rig.bitso.ticker("btc_mxn")
    next(rig.coincap().exchanges())
    first, second = rig.simulator.requests
    assert "authorization" not in first.headers
    assert second.headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    "proxy",
    ["http://[::1", "http://u:sesame@h:99999", "http://h:x", "ftp://h", "socks5://h", "http://",
     "http://a..b"],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_told_as_the_proxy(
    rig: SourcesRig, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(TerminalError) as caught:
        rig.bitso.ticker("btc_mxn")
    assert str(caught.value) == (
        "bitso: the proxy that the environment names (http_proxy) cannot be used"
    )


def test_a_message_is_one_short_line(rig: SourcesRig) -> None:
    error = {"error": {"code": "0301", "message": "line\nbreak " * 500}}
    rig.simulator.faults.add("status", argument={"status": 400, "document": error})
    with pytest.raises(TerminalError) as caught:
        rig.bitso.ticker("btc_mxn")
    assert re.fullmatch(r"bitso: HTTP 400 0301 line break .{,300}", str(caught.value))


@pytest.mark.parametrize("key", ["short", "with a space", "with\nnewline", "contraseña", ""])
def test_what_cannot_be_a_key_is_refused_without_showing_it(rig: SourcesRig, key: str) -> None:
    with pytest.raises(TerminalError, match=r"cannot be one$") as caught:
        rig.coincap(key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("target", ["ftp:nowhere", "http://[::1", "//127.0.0.2/x", "mailto:a@b"])
def test_a_redirect_to_nonsense_is_final(rig: SourcesRig, target: str) -> None:
    rig.simulator.faults.add("redirect", argument=target)
    with pytest.raises(TerminalError, match=r"^bitso: "):
        rig.bitso.ticker("btc_mxn")


def test_connections_are_kept(rig: SourcesRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "urllib3")
    for _ in range(3):
        rig.bitso.ticker("btc_mxn")
    assert caplog.text.count("Starting new HTTP connection") == 1


def test_a_blocked_address_leaves_bitso_alone_whatever_the_body(rig: SourcesRig) -> None:
    blocked = {"status": 403, "document": {"success": False, "error": {"code": "0201"}}}
    rig.simulator.faults.add("status", times=1, argument=blocked)
    rig.bitso.ticker("btc_mxn")
    assert 59 <= sum(rig.clock.slept) <= 62


def test_received_at_is_when_the_reply_was_here(rig: SourcesRig) -> None:
    rig = SourcesRig(rig.simulator, impatient="/nowhere")  # whose clock runs
    before = rig.clock.now()
    received_at = rig.bitso.ticker("btc_mxn").received_at
    assert before < received_at < rig.clock.now()
    assert received_at.utcoffset() == timedelta(0)
