"""Generates snapshot files with the shape and the quirks of the real ones.

    python seeds/sample/generate.py DIR [--seed N] [--deposits N] [--users N] ... [--clean]

The same arguments give the same bytes on every Python: of `random`, only `random()` is promised
never to change, so nothing else of it is used. Rows are written as they are made, so that memory
does not grow with them, and money is put together from digits, never from floats.

`expected.json` says what a load of the files must count.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

FIRST_DAY = date(2020, 1, 2)
LAST_DAY = date(2023, 8, 23)
DAYS = [
    (FIRST_DAY + timedelta(days)).isoformat() for days in range((LAST_DAY - FIRST_DAY).days + 1)
]
TIMES = [
    f"{hour:02}:{minute:02}:{second:02}"
    for hour in range(24)
    for minute in range(60)
    for second in range(60)
]

# Most used first: code, digits before the point, digits after it. `pagx` is a typo that is kept.
CURRENCIES = [
    ("mxn", 5, 2), ("btc", 1, 8), ("xrp", 4, 6), ("eth", 2, 18), ("usd", 4, 2), ("ars", 7, 2),
    ("ltc", 2, 8), ("bch", 2, 8), ("tusd", 4, 18), ("mana", 4, 18), ("bat", 4, 18),
    ("dai", 4, 18), ("usdt", 4, 6), ("brl", 4, 2), ("gnt", 4, 18), ("cop", 7, 2),
    ("sol", 2, 9), ("ada", 4, 6), ("doge", 5, 8), ("shib", 8, 18), ("matic", 4, 18),
    ("dot", 3, 10), ("avax", 3, 18), ("uni", 3, 18), ("link", 3, 18), ("aave", 2, 18),
    ("comp", 2, 18), ("yfi", 1, 18), ("crv", 4, 18), ("snx", 4, 18), ("enj", 4, 18),
    ("chz", 4, 18), ("axs", 3, 18), ("sand", 4, 18), ("gala", 5, 8), ("ape", 3, 18),
    ("ens", 2, 18), ("ldo", 3, 18), ("qnt", 1, 18), ("ftm", 4, 18), ("algo", 4, 6),
    ("xlm", 4, 7), ("omg", 3, 18), ("zrx", 4, 18), ("bal", 2, 18), ("sushi", 3, 18),
    ("1inch", 4, 18), ("lrc", 4, 18), ("mkr", 1, 18), ("paxg", 1, 18), ("pagx", 1, 18),
    ("usdc", 4, 6), ("near", 3, 18), ("atom", 3, 6), ("ftt", 3, 18), ("lunc", 6, 6),
    ("trx", 5, 6), ("etc", 2, 18), ("bar", 3, 2), ("xtz", 3, 6),
]  # fmt: skip

# Most frequent first.
EVENT_NAMES = [
    "login", "login_api", "2falogin", "cookies_accepted", "level_change_up", "email_verified",
    "2faon", "api_key_created", "document_verified", "2fa_wrong", "api_key_deleted",
    "country_updated", "2faoff", "level_change_down", "account_suspended", "account_terminated",
]  # fmt: skip

BUSIEST_USERS = 7
# Of a hundred users, the first so many made deposits.
DEPOSITORS_PERCENT = 52
ONLY_FAILED_DEPOSITS = 2
ONLY_WITHDREW = 3

Draw = Callable[[], float]
Outcome = Literal["inserted", "duplicate", "quarantined"]


@dataclass(frozen=True)
class Extra:
    """A row written by hand among the random ones, and what a load makes of it."""

    text: str | bytes
    outcome: Outcome = "inserted"

    @property
    def line(self) -> bytes:
        """The row as it stands in the file."""
        return (self.text.encode() if isinstance(self.text, str) else self.text) + b"\n"


@dataclass(frozen=True)
class Snapshot:
    """One file: its header, `count` random rows, and extras spread among them."""

    kind: str
    header: str
    count: int
    rows: Iterable[bytes]
    extras: list[Extra] = field(default_factory=list)

    def write(self, directory: Path, *, clean: bool) -> dict[str, int]:
        """Write the file; return what a load of it must count."""
        extras = [extra for extra in self.extras if not clean or extra.outcome == "inserted"]
        outcomes = [extra.outcome for extra in extras]
        with (directory / f"{self.kind}.csv").open("wb") as file:
            file.write(self.header.encode())
            file.writelines(self._spread(extras))
        return {
            "rows_read": self.count + len(extras),
            "rows_inserted": self.count + outcomes.count("inserted"),
            "rows_duplicate": outcomes.count("duplicate"),
            "rows_quarantined": outcomes.count("quarantined"),
        }

    def _spread(self, extras: list[Extra]) -> Iterator[bytes]:
        rows = iter(self.rows)
        stretch = self.count // (len(extras) + 1)
        for extra in extras:
            yield from islice(rows, stretch)
            yield extra.line
        yield from rows


class Population:
    """The users by what they did, as random as the real ids are not (those can be reversed)."""

    def __init__(self, random: Random, count: int) -> None:
        draw = random.random
        self.everybody = [
            "".join(f"{int(draw() * 2**32):08x}" for _ in range(4)) for _ in range(count)
        ]
        depositors = max(BUSIEST_USERS + 1, count * DEPOSITORS_PERCENT // 100)
        self.busiest = self.everybody[:BUSIEST_USERS]
        self.depositors = self.everybody[BUSIEST_USERS:depositors]
        others = self.everybody[depositors:]
        self.only_failed = others[:ONLY_FAILED_DEPOSITS]
        self.only_withdrew = others[ONLY_FAILED_DEPOSITS:][:ONLY_WITHDREW]
        # In no users file: known from a withdrawal alone.
        self.stranger = "".join(f"{int(draw() * 2**32):08x}" for _ in range(4))


def transactions(
    random: Random, count: int, users: Population, busiest_percent: int, *, interface: bool
) -> Iterator[bytes]:
    """Random deposits or, with an interface, withdrawals, in no order of time."""
    draw = random.random
    busy = busiest_percent / 100
    busiest, depositors = users.busiest, users.depositors
    for number in range(count):
        if (luck := draw()) < busy:
            user = busiest[int(luck / busy * BUSIEST_USERS)]
        else:
            place = draw()
            user = depositors[int(place * place * len(depositors))]
        rank = draw()
        currency, whole, decimals = CURRENCIES[int(rank * rank * rank * len(CURRENCIES))]
        amount = (
            f"{int(draw() * 10**whole) | 1}"
            if draw() < 0.1
            else f"{int(draw() * 10**whole)}.{_digits(draw, decimals)}"
        )
        status = "failed" if draw() < 0.015 else "complete"
        through = ("web," if draw() < 0.6 else "app,") if interface else ""
        # Ids of both kinds begin alike: only (kind, id) tells transactions apart.
        yield (
            f"{1001 + number},{_instant(draw)},{user},{amount},{through}{currency},{status}\n"
        ).encode()


def _digits(draw: Draw, count: int) -> str:
    """So many digits, the last one odd: none is a zero that a writer would have trimmed."""
    if count > 9:
        return f"{int(draw() * 10**9):09}{_digits(draw, count - 9)}"
    return f"{int(draw() * 10**count) | 1:0{count}}"


def _instant(draw: Draw) -> str:
    """An instant with zone; a fraction's zeros are trimmed, and some have no fraction."""
    return f"{_day(draw)} {TIMES[int(draw() * 86400)]}{_fraction(draw)}+00"


def _day(draw: Draw) -> str:
    """A day, the more likely the later it is: business grew."""
    return DAYS[int(max(draw(), draw()) * len(DAYS))]


def _fraction(draw: Draw) -> str:
    kind = draw()
    if kind < 0.02:
        return ""
    if kind < 0.1:
        return f".{int(draw() * 1000):03}".rstrip("0").rstrip(".")
    return f".{int(draw() * 1000000):06}".rstrip("0").rstrip(".")


def events(random: Random, count: int, users: Population) -> Iterator[bytes]:
    """Random events: the instants have no zone and always six digits of fraction."""
    draw = random.random
    for number in range(count):
        rank, place = draw(), draw()
        name = EVENT_NAMES[int(rank * rank * len(EVENT_NAMES))]
        user = users.everybody[int(place * place * len(users.everybody))]
        time = f"{_day(draw)} {TIMES[int(draw() * 86400)]}.{int(draw() * 1000000):06}"
        yield f"{1 + number},{time},{user},{name}\n".encode()


def levels(random: Random, users: Population) -> Iterator[bytes]:
    """A history of levels for two of three users, most in mx, some in us, some in both."""
    draw = random.random
    for user in users.everybody:
        luck = draw()
        for jurisdiction in ("mx",) * (luck < 0.6) + ("us",) * (0.55 < luck < 0.67):
            level = 1
            for change in range(1 + int(draw() * 3)):
                # An instant of its own for each change, a later one not always a higher level.
                fraction = f"{int(draw() * 99999):05}{change}"
                moment = f"{_day(draw)} {TIMES[int(draw() * 86400)]}.{fraction}"
                yield f"{user},{jurisdiction},{level},{moment.rstrip('0')}+00\n".encode()
                level = max(1, min(4, level + (1 if draw() < 0.8 else -1)))


def deposit_extras(users: Population) -> list[Extra]:
    """The deposits that only chance would bring."""
    someone, other = users.depositors[0], users.busiest[0]
    last = f"{LAST_DAY} 12:00:00+00"
    return [
        Extra(f"1,{FIRST_DAY} 00:00:00+00,{someone},100,mxn,complete"),
        Extra(f"2,{LAST_DAY} 23:59:59.999999+00,{other},250.5,mxn,complete"),
        Extra(f"3,{last},{someone},,mxn,complete"),
        Extra(f"4,2022-02-28 18:30:00+00,{other},,btc,complete"),
        Extra(f"5,2021-07-01 00:00:00.5+00,{other},,pagx,failed"),
        Extra(f"6,2023-06-01 09:00:00.25+00,{other},6827677768780,ars,complete"),
        Extra(f"7,2023-06-01 10:00:00+00,{other},1234567890123.123456789012345678,ars,complete"),
        Extra(f"8,2020-02-29 06:00:00.000001+00,{someone},0.00000001,btc,complete"),
        Extra(f"9,{last},{someone},0.000000000000000001,eth,complete"),
        Extra(f"10,{last},{other},0.5,pagx,complete"),
        *(
            Extra(f"{11 + place},2022-10-0{1 + place} 05:59:59+00,{user},75,mxn,failed")
            for place, user in enumerate(users.only_failed)
        ),
        Extra(f"2,{LAST_DAY} 23:59:59.999999+00,{other},250.5,mxn,complete", "duplicate"),
        Extra(f"2,{LAST_DAY} 23:59:59.999999+00,{other},250.5,mxn,failed", "quarantined"),
        Extra(f"21,{last},{someone},12.5.0,mxn,complete", "quarantined"),
        Extra(f"22,{last},{someone},NaN,mxn,complete", "quarantined"),
        Extra(f"23,2023-02-29 12:00:00+00,{someone},10,mxn,complete", "quarantined"),
        Extra(f"24,now,{someone},10,mxn,complete", "quarantined"),
        Extra(f",{last},{someone},10,mxn,complete", "quarantined"),
        Extra(f"25,{last},{someone},1,234.50,mxn,complete", "quarantined"),
        Extra(f"26,{last},{someone},10,mxn", "quarantined"),
        Extra(f"27,{last},{someone},10,pes\xf3,complete".encode("latin-1"), "quarantined"),
        Extra(f"28,{last},{someone},10,m\0xn,complete", "quarantined"),
    ]


def withdrawal_extras(users: Population) -> list[Extra]:
    """The withdrawals that only chance would bring."""
    someone = users.depositors[0]
    last = f"{LAST_DAY} 12:00:00+00"
    return [
        # Ids that deposits have as well.
        Extra(f"1,{last},{someone},50,web,mxn,complete"),
        Extra(f"2,2021-03-14 02:30:00.125+00,{someone},-20.5,app,mxn,failed"),
        *(
            Extra(f"{3 + place},2023-08-2{place} 20:00:00.75+00,{user},0.125,app,btc,complete")
            for place, user in enumerate(users.only_withdrew)
        ),
        Extra(f"9,{last},{users.stranger},15,web,usd,complete"),
        Extra(f"1,{last},{someone},50,web,mxn,complete", "duplicate"),
        Extra(f"1,{last},{someone},51,web,mxn,complete", "quarantined"),
        Extra(f"21,{last},{someone},ten,web,mxn,complete", "quarantined"),
        Extra(f"22,yesterday,{someone},10,web,mxn,complete", "quarantined"),
        Extra(f"23,{last},,10,web,mxn,complete", "quarantined"),
        Extra(f"24,{last},{someone},10,mxn,complete", "quarantined"),
    ]


def event_extras(users: Population) -> list[Extra]:
    """The events that only chance would bring, with ids that no random one has."""
    someone = users.everybody[0]
    time = "2023-08-22 10:00:00.000000"
    return [
        Extra(f"900000000001,{time},{someone},login"),
        Extra(f"900000000001,{time},{someone},login", "duplicate"),
        Extra(f"900000000001,{time},{someone},2falogin", "quarantined"),
        Extra(f"900000000002,infinity,{someone},login", "quarantined"),
        Extra(f"900000000003,{time},{someone},", "quarantined"),
        Extra(f"900000000004,{time}", "quarantined"),
    ]


def user_extras(users: Population) -> list[Extra]:
    """A repeated user, and rows that are none."""
    return [
        Extra(users.everybody[0], "duplicate"),
        Extra(users.everybody[1] + ",mx", "quarantined"),
        Extra(b"\xff\xfe", "quarantined"),
    ]


def level_extras(users: Population) -> list[Extra]:
    """One history written by hand, with a row repeated, one contradicted and bad ones."""
    someone = users.depositors[0]
    return [
        Extra(f"{someone},us,4,{LAST_DAY} 09:00:00+00"),
        Extra(f"{someone},us,4,{LAST_DAY} 09:00:00+00", "duplicate"),
        Extra(f"{someone},us,1,{LAST_DAY} 09:00:00+00", "quarantined"),
        Extra(f"{someone},us,two,{LAST_DAY} 09:30:00+00", "quarantined"),
        Extra(f"{someone},us,2,", "quarantined"),
    ]


def snapshots(options: argparse.Namespace) -> Iterator[Snapshot]:
    """The five files. Each has a sequence of its own: one's size changes no other's rows."""
    users = Population(_random(options, "users"), options.users)
    percent = options.busiest_percent
    yield Snapshot(
        "deposits",
        "id,event_timestamp,user_id,amount,currency,tx_status\n",
        options.deposits,
        transactions(
            _random(options, "deposits"), options.deposits, users, percent, interface=False
        ),
        deposit_extras(users),
    )
    yield Snapshot(
        "withdrawals",
        "id,event_timestamp,user_id,amount,interface,currency,tx_status\n",
        options.withdrawals,
        transactions(
            _random(options, "withdrawals"), options.withdrawals, users, percent, interface=True
        ),
        withdrawal_extras(users),
    )
    yield Snapshot(
        "events",
        "id,event_timestamp,user_id,event_name\n",
        options.events,
        events(_random(options, "events"), options.events, users),
        event_extras(users),
    )
    # The blank line is in the real file too.
    yield Snapshot(
        "users",
        "user_id\n\n",
        options.users,
        (f"{user}\n".encode() for user in users.everybody),
        user_extras(users),
    )
    history = list(levels(_random(options, "user_levels"), users))
    yield Snapshot(
        "user_levels",
        "user_id,jurisdiction,level,event_timestamp\n",
        len(history),
        history,
        level_extras(users),
    )


def _random(options: argparse.Namespace, name: str) -> Random:
    return Random(f"{options.seed}/{name}")


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    for name, count in (
        ("deposits", 6000), ("withdrawals", 400), ("events", 2500), ("users", 600),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=count, help="default: %(default)s")
    parser.add_argument(
        "--busiest-percent", type=int, default=71, metavar="N",
        help=f"share of the transactions that {BUSIEST_USERS} users make (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--clean", action="store_true", help="no bad rows and no repeated ones")
    options = parser.parse_args()
    if options.users < 20:
        parser.error("--users must be at least 20")
    options.directory.mkdir(parents=True, exist_ok=True)
    expected = {
        snapshot.kind: snapshot.write(options.directory, clean=options.clean)
        for snapshot in snapshots(options)
    }
    (options.directory / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
