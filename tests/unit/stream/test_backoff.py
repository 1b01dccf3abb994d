"""What happens again and again is told when it comes, and not with each time."""

import pytest

from loader.stream.backoff import TOLD_EACH, Backoff, PerMinute
from loader.stream.told import LONGEST_CHARACTERS, told
from loader.warehouse.errors import TransientError
from tests.clocks import SteppedClock


def test_pauses_grow_up_to_a_bound_and_begin_anew() -> None:
    backoff = Backoff(1.0, 8.0)
    pauses = [backoff.pause() for _ in range(9)]
    longest = (1, 2, 4, 8, 8, 8, 8, 8, 8)
    pairs = zip(pauses, longest, strict=True)
    assert all(most / 2 <= pause <= most for pause, most in pairs)
    backoff.reset()
    assert backoff.pause() <= 1


def test_a_trouble_is_news_when_it_comes_when_it_changes_and_now_and_then() -> None:
    backoff = Backoff()
    troubles = ["a"] * (2 * TOLD_EACH) + ["b", "b", "a"]
    news = [number for number, trouble in enumerate(troubles) if backoff.is_news(trouble)]
    assert news == [0, TOLD_EACH, 2 * TOLD_EACH, 2 * TOLD_EACH + 2]
    backoff.reset()
    assert backoff.is_news("a")


def test_past_so_many_in_a_minute_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = SteppedClock()
    some = PerMinute("surprises", 20, clock)
    assert sum(some.lets_through() for _ in range(25)) == 20
    assert caplog.messages == []
    clock.advance(60)
    assert some.lets_through()
    assert caplog.messages == ["5 more surprises in a minute"]


def test_an_error_is_one_line_and_a_fault_of_ours_says_where() -> None:
    assert told(TransientError("try\n\x1b[31magain")) == "try \\x1b[31magain"
    assert len(told(OSError("x" * 10_000))) <= LONGEST_CHARACTERS
    try:
        raise KeyError("\n")
    except KeyError as error:
        text = told(error)
    assert text.startswith(
        "a fault of this program, please report it: KeyError at test_backoff.py:"
    )
    assert text.isprintable()
