"""Times told from now: whole days of a zone, hours of the clock, whatever the clocks do there."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.warehouse import relative

ZONES = [UTC, *map(ZoneInfo, ("America/Mexico_City", "America/Sao_Paulo", "Asia/Tokyo",
                              "Pacific/Apia", "America/St_Johns"))]  # fmt: skip
NOWS = st.builds(
    datetime.fromtimestamp,
    st.floats(0, datetime(2100, 1, 1, tzinfo=UTC).timestamp()),
    st.sampled_from(ZONES),
)
NUMBERS = st.integers(0, 99_999)


@given(NOWS, NUMBERS)
def test_days_are_those_of_the_calendar_where_people_read(now: datetime, number: int) -> None:
    today = relative.day("today", now)
    assert today == now.date() == relative.day("0d", now)
    assert relative.day("yesterday", now) == relative.day("1d", now) == today - timedelta(1)
    assert (today - relative.day(f"{number}d", now)).days == number
    assert relative.day_or_instant(f"{number}d", now) == relative.day(f"{number}d", now)


@given(NOWS, NUMBERS)
def test_hours_are_those_that_passed(now: datetime, number: int) -> None:
    found = relative.instant(f"{number}h", now)
    assert found.utcoffset() == timedelta(0)
    assert now - found == timedelta(hours=number)
    assert relative.day(f"{number}h", now) == found.astimezone(now.tzinfo).date()


@given(NOWS, NUMBERS)
def test_a_day_begins_with_its_first_instant(now: datetime, number: int) -> None:
    first = relative.instant(f"{number}d", now)
    wanted = relative.day(f"{number}d", now)
    tick = timedelta(microseconds=1)
    assert (first - tick).astimezone(now.tzinfo).date() < wanted
    # A day that a zone has left out (Apia's 30 December 2011) has no instant: the next one's.
    assert first.astimezone(now.tzinfo).date() >= wanted


def test_a_midnight_that_there_was_not() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    now = datetime(2018, 11, 4, 12, tzinfo=zone)
    # Clocks went from 24:00 to 01:00.
    assert relative.instant("today", now) == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert relative.day("today", now) == date(2018, 11, 4)


@given(st.text(max_size=8), NOWS)
def test_anything_else_is_none(text: str, now: datetime) -> None:
    if not relative.is_relative(text):
        for parse in (relative.day, relative.instant, relative.day_or_instant):
            with pytest.raises(ValueError, match=r".*"):
                parse(text, now)


@pytest.mark.parametrize(
    "text", ["", "Today", " today", "7", "d", "-1d", "7D", "1.5h", "7d ", "٣d", "100000d", "2m"]
)
def test_what_is_no_such_text(text: str) -> None:
    assert not relative.is_relative(text)
