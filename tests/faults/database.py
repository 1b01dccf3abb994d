"""What state Postgres may be in, or who else is listening where it should be."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import SNAPSHOT, counted
from tests.faults.gate import HOLD, RESET, Drip, Flood, Step, gate
from tests.faults.place import Place
from tests.local_server import free_port
from tests.waiting import wait_for

NAME = "database state"
TRY_AGAIN, MEND = Holds((75,), (0,)), Holds((1,), (0,))
FAILED = Holds((1, 75), (0,))
LOADED = Holds((0,), (3,))
LOAD = ("loader", "snapshots", "good.csv")


class State(NamedTuple):
    """What is done before the command: statements, `{db}` being the database, and the settings.

    `{db}_more` is another database, gone afterwards. `holds` is what somebody has asked for and
    keeps while the command runs, `ends` whether its connection is ended while it waits for that;
    `gate` are the steps of who listens in the place of Postgres.
    """

    statements: Sequence[str] = ()
    environment: dict[str, str] | None = None
    holds: str = ""
    ends: bool = False
    gate: Sequence[Step] | None = None
    command: tuple[str, ...] = LOAD


def bring(place: Place, case: Case) -> None:
    """Bring the database into its state, and load a good file."""
    state: State = case.what
    (place.directory / "good.csv").write_bytes(SNAPSHOT.good)
    for statement in state.statements:
        place.rows(statement.format(db=place.where.db))
    with ExitStack() as stack:
        env = {
            name: value.format(db=place.where.db, free=free_port())
            for name, value in (state.environment or {}).items()
        }
        if state.gate is not None:
            door = stack.enter_context(gate(state.gate))
            env["WAREHOUSE_PORT"] = str(door.server_port)
        if state.holds:
            holder = stack.enter_context(closing(place.server.admin(place.where.db)))
            holder.autocommit = False
            holder.cursor().execute(state.holds)
        started = place.start(*state.command, env=env)
        if state.ends:
            theirs = (
                "select pid from pg_stat_activity where datname = current_database() "
                "and application_name = 'bitso-warehouse' and wait_event_type = 'Lock'"
            )
            found = wait_for(lambda: place.rows(theirs), "the loader at the lock")
            place.rows("select pg_terminate_backend(%s)", found[0][0])
        ran = started.end()
    place.survived(ran, case.holds.exits, case.holds.says)
    _undo(place)
    if case.holds.good:
        rows = counted(place, SNAPSHOT.rows)
        assert rows in case.holds.good, f"{rows} rows, not {case.holds.good}"
    if case.holds.exits == TRY_AGAIN.exits:
        # What was to pass has passed: the same command does all of it.
        place.survived(place.run(*state.command))


def _undo(place: Place) -> None:
    """Let everybody in again, whatever the administrator had set."""
    place.rows(f'alter database "{place.where.db}" reset all')
    if place.rows("select to_regclass('ops.runs') is not null") == [(True,)]:
        place.rows("drop trigger if exists fail on ops.runs")


def _fails_with(code: str, table: str) -> list[str]:
    """Have Postgres answer so whenever something is written into a table."""
    function = (
        "create function public.fail() returns trigger language plpgsql as "
        f"$$ begin raise exception 'no' using errcode = '{code}'; end $$"
    )
    return [
        function,
        f"create trigger fail before insert on {table} for each row execute function public.fail()",
    ]


_SNAPSHOTS_HELD = "lock table raw.snapshots in access exclusive mode"
_LOADER_AT_WORK = "select pg_advisory_lock(hashtextextended('bitso-warehouse:snapshots', 0))"
_ALTER = 'alter database "{db}" set '
_STATES: dict[str, dict[str, tuple[State, Holds]]] = {
    "time": {
        "read only for now": (State([_ALTER + "default_transaction_read_only = on"]), TRY_AGAIN),
        "a statement may take 1 ms": (State([_ALTER + "statement_timeout = '1ms'"]),
                                      Holds((0, 75), (0, 3))),
        # The limit is ours to set, not the administrator's.
        "a lock may take 10 ms": (
            State([_ALTER + "lock_timeout = '10ms'"], holds=_SNAPSHOTS_HELD,
                  environment={"WAREHOUSE_STATEMENT_TIMEOUT_SECONDS": "2"}), TRY_AGAIN),
        "idle for 1 ms": (State([_ALTER + "idle_in_transaction_session_timeout = '1ms'"]),
                          Holds((0, 75), (0, 3))),
        "silence": (State(gate=[HOLD]), FAILED),
        "byte by byte": (State(gate=[Drip(b"R\0\0\0\x08\0\0\0\0", 0.5)]), FAILED),
    },
    "order": {
        "serializable": (State([_ALTER + "default_transaction_isolation = serializable"]), LOADED),
        "repeatable read": (
            State([_ALTER + "default_transaction_isolation = 'repeatable read'"]), LOADED),
        "deferrable": (State([_ALTER + "default_transaction_deferrable = on"]), LOADED),
        "another search path": (State([_ALTER + "search_path = nowhere"]), LOADED),
        "a deadlock": (State(_fails_with("40P01", "ops.runs")), Holds((75,), (0,))),
    },
    "encoding": {
        "text of another encoding": (State([_ALTER + "client_encoding = 'LATIN1'"]), LOADED),
        "a database in LATIN1": (State(
            ['create database "{db}_more" template template0 encoding LATIN1 locale \'C\''],
            {"WAREHOUSE_DB": "{db}_more"}, command=("loader", "init")), MEND),
    },
    "numbers": {
        "another style of dates": (State([_ALTER + "datestyle = 'German'"]), LOADED),
        "another zone": (State([_ALTER + "timezone = 'Pacific/Apia'"]), LOADED),
        "fewer digits of floats": (State([_ALTER + "extra_float_digits = -15"]), LOADED),
        "a port of nobody": (State(environment={"WAREHOUSE_PORT": "{free}"}), TRY_AGAIN),
    },
    "text": {
        "bytes as escapes": (State([_ALTER + "bytea_output = 'escape'"]), LOADED),
        "other strings": (State([_ALTER + "standard_conforming_strings = off"]), LOADED),
        "messages in another language": (State([_ALTER + "lc_messages = 'C'"]), LOADED),
    },
    "shape": {
        "HTTP": (State(gate=[b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"]), FAILED),
        "noise": (State(gate=[bytes(range(256))]), FAILED),
        "a table is missing": (State(["drop table ops.quarantine cascade"]), MEND),
        "a column is missing": (State(
            ["alter table ops.runs drop column rows_read cascade"]), MEND),
        "a function is missing": (
            State(["drop function raw.open_snapshot cascade"]), Holds((1,), (0,))),
        "nothing is there": (State(["drop schema ops cascade", "drop schema raw cascade"]),
                             Holds((1,))),
    },
    "size": {
        "an answer without end": (State(gate=[Flood(b"R\xff\xff\xff\xff")]), FAILED),
        "notices without end": (State(gate=[Flood(b"N\0\0\0\x05\0")]), FAILED),
        "too large for Postgres": (State(_fails_with("54000", "ops.runs")), FAILED),
    },
    "cut": {
        "a reset": (State(gate=[RESET]), TRY_AGAIN),
        "closed at once": (State(gate=[]), TRY_AGAIN),
        "half of an answer": (State(gate=[b"R\0\0\0\x17\0\0\0\x0aSCRAM"]), FAILED),
        "its connection is ended": (State(holds=_SNAPSHOTS_HELD, ends=True), TRY_AGAIN),
        "a damaged page": (State(_fails_with("XX001", "ops.runs")), FAILED),
    },
    "duplication": {
        "a loader is at work": (State(holds=_LOADER_AT_WORK), TRY_AGAIN)},
    "place": {
        "no such database": (State(environment={"WAREHOUSE_DB": "nowhere"}), MEND),
        "no such host": (State(environment={"WAREHOUSE_HOST": "nowhere.invalid"}), FAILED),
        "a host that is none": (State(environment={"WAREHOUSE_HOST": "/nowhere"}), FAILED),
    },
    "permission": {
        "a wrong password": (State(environment={"WAREHOUSE_PASSWORD": "wrong"}), MEND),
        "nobody of that name": (State(environment={"WAREHOUSE_USER": "nobody"}), MEND),
        "no leave to write": (
            State(["revoke insert on all tables in schema ops from warehouse_loader"]), MEND),
        "no leave to look": (
            State(["revoke usage on schema ops from warehouse_loader"]), MEND),
    },
    "full disk": {
        "no room": (State(_fails_with("53100", "ops.runs")), Holds((75,), (0,))),
        "no memory": (State(_fails_with("53200", "ops.runs")), Holds((75,), (0,))),
        "no more connections": (State(_fails_with("53300", "ops.runs")), Holds((75,), (0,))),
    },
    "lost": {
        "it is shutting down": (State(_fails_with("57P01", "ops.runs")), Holds((75,), (0,))),
        "it cannot take anybody now": (
            State(_fails_with("57P03", "ops.runs")), Holds((75,), (0,))),
    },
    "version": {
        "nothing of ours in it": (State(
            ['create database "{db}_more" template template0'],
            {"WAREHOUSE_DB": "{db}_more"}), Holds((1,), says="loader init")),
        "a later version of ours": (State(
            ["insert into ops.migrations (name) values ('9999_later.sql')"]),
            Holds((0, 1), (0, 3))),
    },
}  # fmt: skip


def _database_cases() -> Iterator[Case]:
    for kind, states in _STATES.items():
        for name, (state, holds) in states.items():
            yield Case(NAME, kind, name, state, holds)


DATABASE = Surface(NAME, list(_database_cases()), bring, {})
