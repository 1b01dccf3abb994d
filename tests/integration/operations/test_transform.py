"""The same raw data make the same marts, however and however often they came in."""

import gzip
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT
from tests import market
from tests.conftest import BIN, Server, Warehouse
from tests.watch import BOOKS, START, Watch

SNAPSHOTS = PROJECT_ROOT / "seeds" / "sample"
RECORDINGS = PROJECT_ROOT / "seeds" / "market"
# What the loader has done, and what dbt has got to, is another thing each time.
OF_THE_RUNS = {"pipeline_runs", "pipeline_runs_by_day", "modelled_until"}
# As of now.
OF_NOW = {"spread_alerts_live", "alerts_judged"}
Digests = dict[str, tuple[int, str]]
Load = Callable[[Warehouse], None]


def digests(warehouse: Warehouse) -> Digests:
    """Rows, and the checksum of all of them, of each mart and each table of target."""
    tables = warehouse.rows(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema in ('target', 'marts') and table_name <> all(%s) order by 1",
        [*OF_THE_RUNS, *OF_NOW],
    )
    return market.digests(warehouse, [table for (table,) in tables])


def write_lake(root: Path) -> Path:
    """An old lake: some seconds that the stream saw too, some before it, a book of its own."""
    root.mkdir()
    chance = random.Random(5)
    lines = [
        f"{START + timedelta(seconds=second)},{book},{1000 - chance.randint(-2, 9)},1000,\n"
        for book in ("btc_mxn", "xrp_mxn")
        for second in range(-900, 100)
    ]
    (root / "a.csv").write_text("orderbook_timestamp,book,bid,ask,spread\n" + "".join(lines))
    return root


def live(_: Warehouse) -> None:
    """The stream's part: always the same, and never twice."""
    watch = Watch(9)
    watch.run(400)
    watch.sleep(130, killed=True)
    watch.run(300, stops=True)
    watch.sleep(700, BOOKS[:2], killed=False)
    watch.run(60 - watch.at.second, BOOKS[:2])


def done(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stderr


def typed(*command: object) -> Load:
    """A command of the loader's."""
    return lambda warehouse: done(warehouse.call("loader", *command))


def build(warehouse: Warehouse) -> None:
    warehouse.transform()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("replay") / "lake")


@pytest.fixture(scope="module")
def once(server: Server, lake: Path) -> Iterator[tuple[Warehouse, Digests]]:
    """All of it once, in its order, modelled in one go: what all others are held against."""
    warehouse = server.database("replay_once", "migrated")
    for load in in_order(lake):
        load(warehouse)
    build(warehouse)
    found = digests(warehouse)
    # There is something to get wrong, but for what nothing in it is wrong with or muted.
    empty = {table for table, (rows, _) in found.items() if not rows}
    assert empty <= {
        "marts.unreadable_records", "marts.muted_books", "marts.alert_messages",
    }  # fmt: skip
    yield warehouse, found
    server.drop(warehouse)


def in_order(lake: Path) -> list[Load]:
    return [
        typed("snapshots", SNAPSHOTS),
        typed("replay", RECORDINGS / "bitso.jsonl.gz"),
        typed("replay", RECORDINGS / "exchanges.jsonl.gz"),
        live,
        typed("lake", "import", lake),
    ]


def test_twice_is_once(once: tuple[Warehouse, Digests], lake: Path) -> None:
    warehouse, expected = once
    warehouse.activate()
    for load in in_order(lake):
        if load is not live:
            load(warehouse)
    build(warehouse)
    assert digests(warehouse) == expected


def test_full_is_incremental(once: tuple[Warehouse, Digests]) -> None:
    warehouse, expected = once
    warehouse.activate()
    warehouse.dbt("run", "--full-refresh")
    assert digests(warehouse) == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_and_split_is_the_same(
    server: Server, once: tuple[Warehouse, Digests], lake: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    loads: list[Load] = [in_order(lake)[0], live]
    for path in (*RECORDINGS.iterdir(), lake / "a.csv"):
        for part in split(path, tmp_path, chance):
            command = ["lake", "import"] if part.suffix == ".csv" else ["replay"]
            loads.append(typed(*command, part))
    chance.shuffle(loads)
    warehouse = server.database(f"replay_shuffled_{seed}", "migrated")
    for number, load in enumerate(loads):
        load(warehouse)
        if number % 3 == 0:
            build(warehouse)
    build(warehouse)
    assert digests(warehouse) == once[1]
    server.drop(warehouse)


def split(path: Path, directory: Path, chance: random.Random) -> list[Path]:
    """The lines of a file in any order, in three files, and some of them twice."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = text.splitlines(keepends=True)
    header = [lines.pop(0)] if path.suffix == ".csv" else []
    chance.shuffle(lines)
    third = len(lines) // 3 + 1
    parts = []
    for number in range(3):
        name = path.name.removesuffix(".gz")
        part = directory / f"{number}_{name}"
        part.write_bytes(b"".join([*header, *lines[number * third : (number + 1) * third + 20]]))
        parts.append(part)
    return parts


def test_killed_and_begun_again_is_the_same(
    server: Server, once: tuple[Warehouse, Digests], lake: Path
) -> None:
    warehouse = server.database("replay_killed", "migrated")
    for command in (
        ["snapshots", SNAPSHOTS], ["replay", RECORDINGS], ["lake", "import", lake],
    ):  # fmt: skip
        kill(warehouse, ["loader", *map(str, command)], "select 1 from ops.runs")
        done(warehouse.loader(*command))
    live(warehouse)
    kill(warehouse, ["loader", "transform"], built("target.quotes"))
    kill(warehouse, ["loader", "transform"], built("marts.spread_hourly"))
    kill(warehouse, ["loader", "transform"], built("marts.spread_alerts"))
    done(warehouse.loader("transform"))
    assert digests(warehouse) == once[1]
    server.drop(warehouse)


def built(table: str) -> str:
    return f"select 1 where to_regclass('{table}') is not null"


def kill(warehouse: Warehouse, command: list[str], when: str) -> None:
    """SIGKILL to all of a command's processes, as soon as a query finds something."""
    known = len(warehouse.rows(when))
    process = subprocess.Popen(
        [BIN / command[0], *command[1:]], cwd=warehouse.directory, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(warehouse.rows(when)) == known and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


WRONG = """
delete from target.quotes where mod(extract(epoch from quoted_at)::bigint, 3) = 0;
update target.quotes set is_primary = not is_primary where feed = 'ticker';
insert into target.quotes
select book, quoted_at + interval '17 minutes', feed, 1, 2, 50, changed_in, true
from target.quotes where feed = 'lake' and quoted_at < '2026-11-01 23:45:00+00';
update marts.spread_hourly set breaches = 0, coverage = 0.5;
delete from marts.spread_alerts where book = 'btc_mxn';
update marts.spread_alerts set opened_at = opened_at - interval '7 microseconds';
update marts.observation_coverage set observed = 1, causes = 'stale';
delete from marts.exchange_volumes where exchange_rank > 3;
"""


def test_a_stretch_is_rebuilt_from_raw(once: tuple[Warehouse, Digests]) -> None:
    warehouse, expected = once
    warehouse.activate()
    wrong: Digests = {}
    for statement in filter(str.strip, WRONG.split(";")):
        warehouse.rows(statement)
        before, wrong = wrong, digests(warehouse)
        assert wrong != before
    # Outside, what is wrong stays wrong.
    warehouse.transform(utc("2025-01-01"), utc("2025-01-02"))
    for since, until in (
        ("2026-01-05T13:00", "2026-02-01"), ("2026-11-02T00:10", "2026-11-02T02:00"),
        ("2026-11-01T23:59", "2026-11-02"),
    ):  # fmt: skip
        assert digests(warehouse) != expected
        run = warehouse.transform(utc(since), utc(until))
        assert str(run.detail["since"]).startswith("2026-")
    # The last one as it is typed.
    assert digests(warehouse) != expected
    stretch = ("--since", "2026-01-05T12:10:00Z", "--until", "2026-01-05T12:59:59.5Z")
    result = warehouse.loader("transform", *stretch)
    done(result)
    assert result.stdout.startswith("transform: 2026-")
    assert digests(warehouse) == expected
    build(warehouse)
    assert digests(warehouse) == expected
    # All of time is no more than what there is of it.
    warehouse.rows("update marts.spread_hourly set breaches = 0")
    warehouse.rows("delete from marts.spread_alerts where book = 'btc_mxn'")
    run = warehouse.transform(utc("0001-01-01"), utc("9999-12-31T23:59:59"))
    assert (run.detail["since"], run.detail["until"]) == (
        "0001-01-01T00:00:00+00:00", "9999-12-31T23:00:00+00:00",
    )  # fmt: skip
    assert digests(warehouse) == expected


def test_what_raw_has_dropped_is_not_forgotten(once: tuple[Warehouse, Digests]) -> None:
    warehouse, expected = once
    warehouse.activate()
    warehouse.rows(
        "insert into ops.dropped_days (table_name, dates) values "
        "('bitso_tickers', '{[2025-12-31,2026-01-01),[2026-01-05,2026-01-06)}'), "
        "('spread_observations', '{[2026-02-01,2026-03-01)}')"
    )
    result = warehouse.loader("transform", "--since", "2026-01-02", "--until", "2026-02-20")
    assert result.returncode == 1
    assert result.stderr == (
        "loader: raw.spread_observations_202602 has been dropped: "
        "what the marts know of that time cannot be built again\n"
    )
    # What has come again since then is there.
    assert warehouse.rows("select status from ops.runs where job = 'transform' "
                          "order by run_id desc limit 1") == [("refused",)]  # fmt: skip
    assert digests(warehouse) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "2026-01-01"], "--until needs --since"),
        (["--since", "2026-01-02", "--until", "2026-01-02"], "--since is not before --until"),
        (["--since", "2200-01-02"], "--since is not before --until, nor before now"),
        (["--since", "9999-12-30", "--until", "9999-12-31"], "nor before now"),
        (["--since", "monday"], "is not a time such as 2026-11-01"),
    ],
)
def test_times_that_cannot_be(warehouse: Warehouse, arguments: list[str], message: str) -> None:
    result = warehouse.loader("transform", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


def test_what_dbt_complains_of_is_the_error(warehouse: Warehouse) -> None:
    warehouse.rows("drop table raw.coincap_exchanges")
    result = warehouse.loader("transform")
    [*_, last] = result.stderr.splitlines()
    assert result.returncode == 1
    # Of the models that read it, any may say so first.
    assert last.startswith("loader: dbt: Database Error in model ")
    assert 'relation "raw.coincap_exchanges" does not exist' in last
    [(status, error)] = warehouse.rows("select status, error from ops.runs")
    assert (status, f"loader: {error}") == ("failed", last)
