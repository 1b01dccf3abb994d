"""SQL cuts time in a zone that it names: what a session's zone is has no say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT

FILES = [
    path
    for room, endings in (
        ("dbt_project", ("sql", "yml")), ("dashboards", ("sql", "py", "yml")),
        ("loader", ("sql", "py")), ("scheduler", ("sql", "py")),
    )
    for ending in endings
    for path in sorted((PROJECT_ROOT / room).rglob(f"*.{ending}"))
    # what dbt has written
    if not path.is_relative_to(PROJECT_ROOT / "dbt_project" / "target")
]  # fmt: skip
CALLS = re.compile(r"\b(date_trunc|date_bin|to_char|cast|extract|date_part)\s*\(", re.IGNORECASE)
# What has no zone of its own, or has been put into one.
ZONED = re.compile(r"at\s+time\s+zone|::timestamp\b|\btimestamptz\s+'[^']*[+]00'", re.IGNORECASE)
PARTS = r"(century|decade|year|quarter|month|week|day|dow|isodow|doy|hour|minute)"
# Dates and texts, which are the same in every zone.
DATES = re.compile(
    r":(from|to|day)|%\(day\)s|day|from_text|to_text|[\w.]+_date|to_date\(.*\)"
    r"|cast\(day as timestamp\)"
    # what is made of a date is looked at by itself
    r"|.*\bcast\(.*",
    re.DOTALL,
)


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each call that may cut time: its name, and its arguments as they stand."""
    for found in CALLS.finditer(text):
        depth, parts = 1, [""]
        for character in text[found.end() :]:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                break
            if character == "," and depth == 1:
                parts.append("")
            else:
                parts[-1] += character
        yield found[1].lower(), [part.strip() for part in parts]


def is_in_the_zone_of_the_session(name: str, arguments: list[str]) -> bool:
    """Whether what a call says hangs on the zone of who asks."""
    whole = ", ".join(arguments)
    if name == "date_trunc":
        return len(arguments) < 3 and not ZONED.search(whole)
    if name == "date_bin":
        return not ZONED.search(arguments[-1])
    if name == "to_char":
        return not (ZONED.search(arguments[0]) or DATES.fullmatch(arguments[0]))
    if name == "cast":
        of, _, kind = whole.rpartition(" as ")
        if kind.strip().lower() not in ("date", "time", "timestamp"):
            return False
        return not (ZONED.search(of) or DATES.fullmatch(of.strip()))
    found = re.match(rf"'?{PARTS}\b'?", arguments[0], re.IGNORECASE)
    return bool(found) and not ZONED.search(whole)


def cuts(text: str) -> list[str]:
    """The calls in a text that name no zone, and casts of that kind."""
    bare = re.sub(r"(?m)--.*$", "", text)
    return [
        *(f"{name}({', '.join(arguments)})" for name, arguments in calls(bare)
          if is_in_the_zone_of_the_session(name, arguments)),
        *(cast for cast in re.findall(r"[\w.)'\]]+::date\b(?!\[)", bare)),
    ]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT_ROOT)))
def test_time_is_cut_in_a_zone_that_is_named(path: Path) -> None:
    assert cuts(path.read_text()) == []


@pytest.mark.parametrize("bad", [
    "date_trunc('day', seen_at)",
    "date_trunc('hour', max(a, b))",
    "date_bin('10 minutes', at, timestamptz '1970-01-01')",
    "to_char(seen_at, 'YYYY')",
    "cast(seen_at as date)",
    "extract(hour from seen_at)",
    "date_part('dow', seen_at)",
    "seen_at::date",
])  # fmt: skip
def test_what_hangs_on_the_session_is_found(bad: str) -> None:
    assert len(cuts(f"select {bad} as n")) == 1


@pytest.mark.parametrize("good", [
    "date_trunc('day', seen_at, 'UTC')",
    "date_trunc('day', seen_at, zones.reporting_timezone)",
    "date_bin('10 minutes', at, timestamptz '1970-01-01 00:00:00+00')",
    "to_char(at at time zone 'UTC', 'YYYY')",
    "cast(at at time zone reporting_timezone as date)",
    "cast(:day as date)",
    "extract(epoch from seen_at)",
    "-- cast(seen_at as date)",
])  # fmt: skip
def test_what_names_its_zone_is_not(good: str) -> None:
    assert cuts(f"select {good}") == []
