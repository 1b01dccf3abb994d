"""The ten answers from the shipped sample, against a second reading of it in plain Python.

The sample goes through the real loader and dbt. The oracle shares no code with them: it reads
the files with the csv module and counts with dictionaries.
"""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from dashboards import answers
from dashboards.questions import load_questions
from tests.conftest import Warehouse

SAMPLE = Path(__file__).resolve().parents[3] / "seeds" / "sample"
INSTANT = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?(\+00)?")

Given = dict[str, str]
Rows = list[tuple[Any, ...]]


# --- the oracle: reading ----------------------------------------------------------------------


class Transaction(NamedTuple):
    """A deposit or a withdrawal."""

    user: str
    at: datetime
    amount: Decimal | None
    currency: str
    status: str

    def counts(self, given: Given) -> bool:
        """Whether the status asked for takes it."""
        return given.get("status", "complete") in (self.status, "any")


def text(value: str) -> str:
    if not value:
        raise ValueError
    return value


def instant(value: str) -> datetime:
    if not INSTANT.fullmatch(value):
        raise ValueError
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def amount(value: str) -> Decimal | None:
    if not re.fullmatch(r"(-?\d+(\.\d+)?)?", value):
        raise ValueError
    return Decimal(value) if value else None


PARSERS: dict[str, Callable[[str], Any]] = {
    "id": int, "event_timestamp": instant, "amount": amount, "level": int,
}  # fmt: skip


def read(kind: str, *key: str) -> list[dict[str, Any]]:
    """The good rows of a file; of those with the same key the first."""
    content = (SAMPLE / f"{kind}.csv").read_bytes()
    lines = [line.decode() for line in content.split(b"\n") if line.isascii() and b"\0" not in line]
    header, *records = csv.reader(lines)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records:
        try:
            row = {
                name: PARSERS.get(name, text)(value)
                for name, value in zip(header, record, strict=True)
            }
        except ValueError:
            continue
        rows.setdefault(tuple(row[name] for name in key), row)
    return list(rows.values())


def read_transactions(kind: str) -> list[Transaction]:
    return [
        Transaction(
            row["user_id"], row["event_timestamp"], row["amount"], row["currency"],
            row["tx_status"],
        )
        for row in read(kind, "id")
    ]  # fmt: skip


def plain(number: Decimal) -> str:
    """Digits without an exponent and without padding zeros."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def iso(at: datetime) -> str:
    fraction = f".{at.microsecond:06}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"


# --- the oracle: answering --------------------------------------------------------------------


class Oracle:
    """Every question answered from the files, with days cut in a zone."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.deposits = read_transactions("deposits")
        self.withdrawals = read_transactions("withdrawals")
        self.users = {row["user_id"] for row in read("users", "user_id")}
        self.logins = [
            (row["user_id"], row["event_timestamp"])
            for row in read("events", "id")
            if row["event_name"] == "login"
        ]
        self.levels: dict[tuple[str, str], tuple[datetime, int]] = {}
        for row in read("user_levels", "user_id", "jurisdiction", "event_timestamp"):
            key = row["user_id"], row["jurisdiction"]
            latest = row["event_timestamp"], row["level"]
            self.levels[key] = max(latest, self.levels.get(key, latest))

    def answer(self, name: str, given: Given) -> Rows:
        """The rows that a question must answer."""
        # Decimal's own 28 digits would round a sum of numeric(38,18).
        with localcontext(prec=200):
            rows: Rows = getattr(self, name.replace("-", "_"))(given)
        return rows

    def day(self, at: datetime) -> date:
        """The calendar day of an instant in the zone."""
        return at.astimezone(self.zone).date()

    def asked(self, given: Given, transactions: list[Transaction]) -> date:
        """The day given, or the latest with any of these transactions, whatever their status."""
        if "day" in given:
            return date.fromisoformat(given["day"])
        return max(self.day(each.at) for each in transactions)

    def on_day(self, given: Given, transactions: list[Transaction]) -> list[Transaction]:
        """Those of the day and status asked for."""
        day = self.asked(given, transactions)
        return [each for each in transactions if self.day(each.at) == day and each.counts(given)]

    def active_users(self, given: Given) -> Rows:
        """Different users of deposits and withdrawals."""
        return [
            (len({each.user for each in self.on_day(given, self.deposits + self.withdrawals)}),)
        ]

    def users_without_deposits(self, given: Given) -> Rows:
        """Users of the snapshot alone."""
        depositors = {each.user for each in self.deposits if each.counts(given)}
        return [(user,) for user in sorted(self.users - depositors)]

    def users_with_many_deposits(self, given: Given) -> Rows:
        """Strictly more than asked, up to the day or on it."""
        day = self.asked(given, self.deposits)
        counts: dict[str, int] = defaultdict(int)
        for each in self.deposits:
            behind = (day - self.day(each.at)).days
            in_time = behind == 0 if given.get("counting") == "on_day" else behind >= 0
            counts[each.user] += in_time and each.counts(given)
        return sorted(item for item in counts.items() if item[1] > int(given.get("more_than", "5")))

    def last_login(self, given: Given) -> Rows:
        """The latest by user."""
        last: dict[str, datetime] = {}
        for user, at in self.logins:
            last[user] = max(at, last.get(user, at))
        return [(user, iso(at)) for user, at in sorted(last.items()) if self.chosen(user, given)]

    def login_count(self, given: Given) -> Rows:
        """Users with any login in the period, both ends included."""
        latest_day = max(self.day(at) for _, at in self.logins)
        counts: dict[str, int] = defaultdict(int)
        for user, at in self.logins:
            last = self.bound(at, given.get("to"), latest_day)
            last_day = given["to"][:10] if "to" in given else latest_day.isoformat()
            first = self.bound(
                at, given.get("from"), date.fromisoformat(last_day) - timedelta(days=6)
            )
            counts[user] += first[0] >= first[1] and last[0] <= last[1]
        return [item for item in sorted(counts.items()) if item[1] and self.chosen(item[0], given)]

    def bound(self, at: datetime, given: str | None, default: date) -> tuple[Any, Any]:
        """What to compare of an instant, and with what: days with days, or instants."""
        if given is None or len(given) == 10:
            return self.day(at), date.fromisoformat(given) if given else default
        return at, datetime.fromisoformat(given)

    def currencies_deposited(self, given: Given) -> Rows:
        """Different currencies of deposits."""
        return [(len({each.currency for each in self.on_day(given, self.deposits)}),)]

    def currencies_withdrawn(self, given: Given) -> Rows:
        """Different currencies of withdrawals."""
        return [(len({each.currency for each in self.on_day(given, self.withdrawals)}),)]

    def amount_deposited(self, given: Given) -> Rows:
        """What is known of the amounts; over nothing 0."""
        currency = given.get("currency", "mxn").lower()
        amounts = [
            each.amount
            for each in self.on_day(given, self.deposits)
            if each.currency == currency and each.amount is not None
        ]
        return [(plain(sum(amounts, Decimal(0))),)]

    def average_deposit(self, given: Given) -> Rows:
        """By currency, over the known amounts of the users now at the level."""
        jurisdiction = given.get("jurisdiction", "mx").lower()
        level = int(given.get("level", "2"))
        amounts: dict[str, list[Decimal]] = defaultdict(list)
        for each in self.deposits:
            current = self.levels.get((each.user, jurisdiction))
            if current and current[1] == level and each.amount is not None and each.counts(given):
                amounts[each.currency].append(each.amount)
        unit = Decimal("1e-18")
        return [
            (
                currency,
                plain((sum(of, Decimal(0)) / len(of)).quantize(unit, ROUND_HALF_UP)),
                len(of),
            )
            for currency, of in sorted(amounts.items())
        ]

    def user_levels(self, given: Given) -> Rows:
        """The latest instant's level by user and jurisdiction."""
        jurisdiction = given.get("jurisdiction", "").lower()
        return [
            (user, where, level, iso(at))
            for (user, where), (at, level) in sorted(self.levels.items())
            if jurisdiction in ("", where) and self.chosen(user, given)
        ]

    @staticmethod
    def chosen(user: str, given: Given) -> bool:
        """Whether the user is asked for."""
        return given.get("user_id") in (None, user)


# --- the tests --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["UTC", "America/Mexico_City"])
def oracle(request: pytest.FixtureRequest, module_warehouse: Warehouse) -> Oracle:
    """The sample loaded and built with days cut in a zone, and who knows what it must answer."""
    loaded = module_warehouse.call("loader", "snapshots", SAMPLE)
    assert loaded.returncode == 0, loaded.stderr
    module_warehouse.dbt("build", "--vars", json.dumps({"reporting_timezone": request.param}))
    return Oracle(request.param)


def ask(name: str, given: Given) -> Rows:
    question = load_questions()[name]
    with answers.reading() as connection:
        return list(answers.ask(connection, question, question.bind(given)).rows)


# A busy day, the first, a leap day, the last few, one with withdrawals alone or nothing at all.
DAYS = [
    "2022-12-24", "2020-01-01", "2020-01-02", "2020-02-29", "2023-06-01", "2023-08-21",
    "2023-08-22", "2023-08-23", "2019-12-31", "2030-01-01",
]  # fmt: skip
BY_DAY = ["active-users", "currencies-deposited", "currencies-withdrawn", "amount-deposited"]
# The others are about the market: test_market_questions.py.
NAMES = [name for name in load_questions() if hasattr(Oracle, name.replace("-", "_"))]
CASES: list[tuple[str, Given]] = [
    *((name, {}) for name in NAMES),
    *((name, {"day": day}) for name in BY_DAY for day in DAYS),
    *((name, {"day": day, "status": "any"}) for name in BY_DAY for day in DAYS),
    *(("amount-deposited", {"day": "2023-06-01", "currency": code}) for code in ("ars", "ARS")),
    *(("amount-deposited", {"day": "2023-08-23", "currency": code}) for code in ("eth", "pagx")),
    ("amount-deposited", {"currency": "none"}),
    ("users-without-deposits", {"status": "any"}),
    *(("users-with-many-deposits", {"day": day}) for day in DAYS),
    *(("users-with-many-deposits", {"day": day, "counting": "on_day"}) for day in DAYS),
    *(
        (
            "users-with-many-deposits",
            {"day": day, "counting": way, "more_than": more, "status": "any"},
        )
        for day in ("2022-12-24", "2023-08-22", "2023-08-23")
        for way in ("to_date", "on_day")
        for more in ("0", "1", "9")
    ),
    ("users-with-many-deposits", {"counting": "on_day", "more_than": "0"}),
    ("login-count", {"from": "2020-01-01"}),
    ("login-count", {"to": "2022-12-24"}),
    ("login-count", {"from": "2022-12-24", "to": "2022-12-24"}),
    ("login-count", {"from": "2022-12-01", "to": "2022-12-31"}),
    ("login-count", {"from": "2022-12-01T12:00:00-06:00", "to": "2022-12-31"}),
    ("login-count", {"from": "2019-01-01", "to": "2019-12-31"}),
    ("average-deposit", {"status": "any"}),
    *(("average-deposit", {"level": level}) for level in ("1", "3", "4", "9")),
    *(("average-deposit", {"jurisdiction": code}) for code in ("us", "US", "none")),
    *(("user-levels", {"jurisdiction": code}) for code in ("mx", "US", "none")),
    ("last-login", {"user_id": "nobody' or '1'='1"}),
]


@pytest.mark.parametrize(("name", "given"), CASES, ids=[f"{name} {given}" for name, given in CASES])
def test_answer(oracle: Oracle, name: str, given: Given) -> None:
    assert ask(name, given) == oracle.answer(name, given)


def test_the_cases_are_not_all_empty(oracle: Oracle) -> None:
    """An oracle that finds nothing would agree with a warehouse that finds nothing."""
    assert len(NAMES) == 10
    for name in NAMES:
        answers_of_name = [oracle.answer(*case) for case in CASES if case[0] == name]
        assert any(rows not in ([], [(0,)], [("0",)]) for rows in answers_of_name), name
    assert len(oracle.users_with_many_deposits({"day": "2022-12-24"})) > 50
    assert oracle.login_count({})


@pytest.mark.parametrize("name", ["last-login", "login-count", "user-levels"])
def test_one_user(oracle: Oracle, name: str) -> None:
    user = oracle.answer(name, {})[0][0]
    given = {"user_id": user}
    assert ask(name, given) == oracle.answer(name, given) != []


def test_both_instants_of_a_period_are_included(oracle: Oracle) -> None:
    times = sorted(at for _, at in oracle.logins)
    first, last = times[100], times[200]
    tick = timedelta(microseconds=1)
    for start, end, logins in [
        (first, last, 101),
        (first + tick, last, 100),
        (first, last - tick, 100),
        (first, first, 1),
    ]:
        given = {"from": start.isoformat(), "to": end.isoformat()}
        rows = ask("login-count", given)
        assert rows == oracle.login_count(given)
        assert sum(row[1] for row in rows) == logins


def test_a_user_only_known_from_a_withdrawal_is_active_and_not_without_deposits(
    oracle: Oracle,
) -> None:
    [stranger] = {each.user for each in oracle.withdrawals} - oracle.users
    [at] = [each.at for each in oracle.withdrawals if each.user == stranger]
    with_stranger = ask("active-users", {"day": oracle.day(at).isoformat()})
    oracle_without = {
        each.user
        for each in oracle.on_day({"day": oracle.day(at).isoformat()}, oracle.deposits)
        + oracle.on_day({"day": oracle.day(at).isoformat()}, oracle.withdrawals)
    } - {stranger}
    assert with_stranger == [(len(oracle_without) + 1,)]
    assert (stranger,) not in ask("users-without-deposits", {"status": "any"})


def test_the_load_counts_what_the_generator_says(
    oracle: Oracle, module_warehouse: Warehouse
) -> None:
    """Also a test of the oracle: it keeps as many rows as the loader."""
    expected = json.loads((SAMPLE / "expected.json").read_text())
    for kind, counts in expected.items():
        rows = module_warehouse.rows(
            "select rows_read, rows_inserted, rows_duplicate, rows_quarantined from ops.runs "
            "inner join raw.snapshots using (run_id) where kind = %s and is_current",
            kind,
        )
        assert rows == [tuple(counts.values())], kind
    assert len(oracle.deposits) == expected["deposits"]["rows_inserted"]
    assert len(oracle.withdrawals) == expected["withdrawals"]["rows_inserted"]
    assert len(oracle.users) == expected["users"]["rows_inserted"]


def test_the_export_holds_every_target_table_and_answer(
    oracle: Oracle, module_warehouse: Warehouse, tmp_path: Path
) -> None:
    done = module_warehouse.run("dashboards", "export", str(tmp_path))
    assert done.returncode == 0, done.stderr
    tables = module_warehouse.rows(
        "select tablename from pg_tables where schemaname = 'target' order by 1"
    )
    assert [path.stem for path in sorted(tmp_path.glob("target/*"))] == [name for (name,) in tables]
    assert [path.stem for path in sorted(tmp_path.glob("questions/*"))] == list(load_questions())
    with (tmp_path / "target" / "deposits.csv").open(newline="") as file:
        ids = [int(row[0]) for row in csv.reader(file) if row[0].isdigit()]
    assert len(ids) == len(oracle.deposits)
    assert ids == sorted(ids)
    without = (tmp_path / "questions" / "users-without-deposits.csv").read_text().split()
    assert without[1:] == [user for (user,) in oracle.users_without_deposits({})]
