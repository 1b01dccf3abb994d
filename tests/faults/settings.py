"""Settings: the environment, the file with more of it, and what is typed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loader.warehouse.settings import Settings
from tests.faults.cases import Case, Holds, Surface, cases_of
from tests.faults.misplaced import LOCKED, ODD_PLACES, PLACES
from tests.faults.place import Place
from tests.faults.values import CUT, ENCODED, TEXTS
from tests.odd_values import NOISE

SETTING, FILE, TYPED = "setting", "environment file", "command line"
# Reads every setting, and asks Postgres something.
COMMAND = ("loader", "quarantine", "list")
ANY = Holds((0, 1, 2, 75))
WRONG = Holds((2,))
NUMBERS = {
    "NaN": "NaN", "infinity": "1e999", "below zero": "-1", "4000 digits": "9" * 4000,
    "an underscore": "1_0", "other digits": "٣", "hexadecimal": "0x10", "blanks around": " 7 ",
}  # fmt: skip
# Neither an environment nor a command line can hold a NUL.
ODD_TEXTS = {
    name: text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    for name, text in TEXTS.items() if "\0" not in text and len(text) < 100_000
}  # fmt: skip
NOT_UTF8 = "\udcff\udcfe"


# --- the environment --------------------------------------------------------------------------


def _by_turns(values: dict[str, str], number: int, count: int) -> Iterator[tuple[str, str]]:
    items = list(values.items())
    for n in range(count):
        yield items[(number * count + n) % len(items)]


def _setting_cases() -> Iterator[Case]:
    for number, (field, info) in enumerate(Settings.model_fields.items()):
        name = f"WAREHOUSE_{field.upper()}"

        def case(kind: str, odd: str, value: str, holds: Holds = ANY, name: str = name) -> Case:
            return Case(SETTING, kind, f"{name}: {odd}", {name: value}, holds)

        kinds = str(info.annotation)
        if "int" in kinds or "float" in kinds:
            for odd, value in _by_turns(NUMBERS, number, 2):
                yield case("numbers", odd, value)
        else:
            for odd, value in _by_turns(ODD_TEXTS, number, 1):
                yield case("text", odd, value)
        if "Secret" in kinds:
            yield case("text", "a secret of escapes", "secret-of-somebody\x1b[2J")
        if number % 4 == 0:
            shape = ("[]", '{"a": ', "null", "[" * 5000)[number // 4 % 4]
            yield case("shape", shape[:8], shape)
            yield case("encoding", "no UTF-8", NOT_UTF8)
            yield case("size", "100 kB", "x" * 100_000)
    yield Case(SETTING, "shape", "an unknown name", {"WAREHOUSE_BOKS": "btc_mxn"},
               Holds((0,), says="WAREHOUSE_BOOKS"))  # fmt: skip
    for odd, value in (("blank", "  "), ("empty", "")):
        yield Case(SETTING, "text", f"books: {odd}", {"WAREHOUSE_BOOKS": value}, Holds((0, 2)))
    for odd, value in (("upper case", "BTC_MXN"), ("blanks around", " btc_mxn , eth_mxn ")):
        yield Case(SETTING, "text", f"books: {odd}", {"WAREHOUSE_BOOKS": value})
    yield Case(SETTING, "duplication", "a book twice", {"WAREHOUSE_BOOKS": "btc_mxn,btc_mxn"})
    yield Case(SETTING, "order", "two names in two cases",
               {"warehouse_books": "x", "WAREHOUSE_BOOKS": "btc_mxn"}, Holds((0, 2)))  # fmt: skip
    yield from _libraries()


def _libraries() -> Iterator[Case]:
    """Names that are not ours, which libraries obey."""
    for name, value in {
        "PGTZ": "Nowhere/Land", "PGDATESTYLE": "SQL", "PGOPTIONS": "-c hello", "TZ": "Nowhere",
        "PGCLIENTENCODING": "LATIN1", "PGHOST": "127.0.0.2", "LANG": "xx_YY.UTF-99",
        "PYTHONIOENCODING": "nothing", "HTTPS_PROXY": "http://\x1b[2J", "COLUMNS": "NaN",
        "NO_COLOR": "1",
    }.items():  # fmt: skip
        yield Case(SETTING, "version", f"{name}={value[:12]}", {name: value}, ANY)


def _bring_setting(place: Place, case: Case) -> None:
    """Run a command with a setting."""
    ran = place.run(*COMMAND, env=case.what)
    # Python itself ends what it has no encoding for, before our first line.
    is_ours = case.what.get("PYTHONIOENCODING") is None
    if is_ours:
        place.survived(ran, case.holds.exits, case.holds.says)


# --- the file ---------------------------------------------------------------------------------

GOOD = b"WAREHOUSE_SNAPSHOTS_KEPT=3\nWAREHOUSE_BOOKS=btc_mxn\n"


def _file_cases() -> Iterator[Case]:
    whats: dict[str, dict[str, tuple[bytes, Holds]]] = {
        "numbers": {"infinity": (b"WAREHOUSE_SNAPSHOTS_KEPT=1e999\n", WRONG)},
        "text": {
            "NUL": (b"WAREHOUSE_BOOKS=a\0b\n", ANY),
            "escapes": (b"WAREHOUSE_COINGECKO_PLAN=\x1b[2J\x07\n", WRONG),
            "a secret": (b"WAREHOUSE_PING_URL='secret-of-somebody\n", ANY),
        },
        "shape": {
            "no equals sign": (b"hello\n", ANY),
            "a quote that does not end": (b'WAREHOUSE_BOOKS="btc_mxn\n' + GOOD, ANY),
            "a reference to itself": (b"WAREHOUSE_BOOKS=${WAREHOUSE_BOOKS}\n", ANY),
            "an unknown name": (b"WAREHOUSE_BOKS=btc_mxn\n", Holds((0,), says="WAREHOUSE_BOOKS")),
            "as a shell has it": (b"export WAREHOUSE_BOOKS='btc_mxn' # ours\n", Holds((0,))),
            "Windows's line ends": (GOOD.replace(b"\n", b"\r\n"), Holds((0,))),
        },
        "size": {
            "a line of 1 MB": (b"X=" + b"x" * 1_000_000 + b"\n" + GOOD, ANY),
            "20 000 lines": (b"X=1\n" * 20_000 + GOOD, ANY),
        },
        "duplication": {"a name twice": (b"WAREHOUSE_BOOKS=btc_mxn\n" + GOOD, Holds((0,)))},
        "order": {"reversed": (b"".join(reversed(GOOD.splitlines(keepends=True))), Holds((0,)))},
        "encoding": {name: (encode(GOOD), ANY) for name, encode in ENCODED.items()},
        "cut": {name: (cut(GOOD), ANY) for name, cut in CUT.items()},
    }
    for kind, named in whats.items():
        for name, (what, holds) in named.items():
            yield Case(FILE, kind, name, what, holds)
    for name, misplace in PLACES.items():
        holds = Holds((0, 2)) if name == "the null device" else WRONG
        yield Case(FILE, "place", name, misplace, holds)
    yield from cases_of(FILE, "place", ODD_PLACES.items(), Holds((0,)))
    yield Case(FILE, "permission", "nobody may read it", LOCKED, WRONG)
    yield Case(FILE, "lost", "it is named and not there", PLACES["nothing"], WRONG)


def _bring_file(place: Place, case: Case) -> None:
    path = place.directory / "settings.env"
    if callable(case.what):
        path = case.what(path, GOOD)
    else:
        path.write_bytes(case.what)
    rights = "few" if case.kind == "permission" else "all"
    ran = place.run(*COMMAND, env={"WAREHOUSE_ENV_FILE": str(path)}, rights=rights)
    place.survived(ran, case.holds.exits, case.holds.says)


# --- what is typed ----------------------------------------------------------------------------

HERE = "@here@"
COMMANDS: dict[str, tuple[str, ...]] = {
    "a command": ("loader", HERE),
    "books": ("loader", "tickers", "--books", HERE),
    "a snapshot": ("loader", "snapshots", HERE),
    "a lake": ("loader", "lake", "import", HERE),
    "a recording": ("loader", "replay", HERE),
    "an edited export": ("loader", "quarantine", "redrive", HERE),
    "a limit": ("loader", "quarantine", "list", "--limit", HERE),
    "since": ("loader", "lake", "export", "--to", "lake", "--since", HERE),
    "until": ("loader", "transform", "--until", HERE),
    "a layout": ("loader", "lake", "export", "--to", "lake", "--by", HERE),
    "a book to mute": ("loader", "alerts", "mute", HERE, "--for", "1h"),
    "a length": ("loader", "alerts", "mute", "all", "--for", HERE),
    "a job": ("loader", "status", HERE),
    "a question": ("dashboards", "ask", HERE),
    "a day": ("dashboards", "ask", "active-users", "--day", HERE),
    "a format": ("dashboards", "ask", "active-users", "--format", HERE),
}  # fmt: skip
# Of these a number, or a path as long as a name, is right.
TYPED_NUMBERS = ("a limit", "since", "until", "a length", "a day")


def _in_a_locked_directory(path: Path, _: bytes) -> Path:
    path.mkdir(mode=0o500)
    return path / "export.csv"


def _typed_cases() -> Iterator[Case]:
    for number, (name, command) in enumerate(COMMANDS.items()):

        def case(kind: str, odd: str, value: str, name: str = name, to: Any = command) -> Case:
            return Case(TYPED, kind, f"{name}: {odd}", (to, value), ANY)

        for odd, value in _by_turns(ODD_TEXTS, number, 2):
            yield case("text", odd, value)
        if name in TYPED_NUMBERS:
            for odd, value in NUMBERS.items():
                yield case("numbers", odd, value)
        yield case("encoding", "no UTF-8", NOT_UTF8)
        if number % 3 == 0:
            yield case("size", "100 kB", "x" * 100_000)
            yield case("shape", "an option", "--" + NOISE[:40])
    for name, value in (("the first day", "0001-01-01"), ("the last", "9999-12-31")):
        yield Case(TYPED, "numbers", f"since: {name}", (COMMANDS["since"], value), ANY)
    yield Case(TYPED, "duplication", "an option twice", (
        ("loader", "quarantine", "list", "--limit", "1", "--limit", HERE), "2"))  # fmt: skip
    yield Case(TYPED, "order", "an option first", (("loader", "--limit", HERE, "quarantine"), "2"),
               WRONG)  # fmt: skip
    yield Case(TYPED, "version", "an option of long ago", (("loader", "init", HERE), "--force"),
               WRONG)  # fmt: skip
    export = ("loader", "quarantine", "export", HERE)
    for name in ("a directory", "a link in a circle", "a file as a directory", "a name too long"):
        yield Case(TYPED, "place", f"an export: {name}", (export, PLACES[name]), Holds((1, 2)))
    yield Case(TYPED, "full disk", "an export", (export, "/dev/full"), Holds((2,)))
    yield Case(TYPED, "full disk", "a lake", ((*COMMANDS["since"][:4], HERE), "/dev/full"),
               Holds((1, 2, 75)))  # fmt: skip
    yield Case(TYPED, "permission", "an export", (export, _in_a_locked_directory), Holds((1, 2)))


def _bring_typed(place: Place, case: Case) -> None:
    command, value = case.what
    if callable(value):
        value = str(value(place.directory / "typed", b""))
    rights = "few" if case.kind == "permission" else "all"
    ran = place.run(*(value if part == HERE else part for part in command), rights=rights)
    place.survived(ran, case.holds.exits, case.holds.says)
    place.conserved()


NO_TIME = "it is there when the process begins"
SETTING_SURFACES = [
    Surface(SETTING, list(_setting_cases()), _bring_setting, {
        "time": NO_TIME,
        "cut": "the system hands over the environment whole",
        "place": "settings that name a file or directory are tried with the surfaces that open it",
        "permission": "nobody needs leave to read his own environment",
        "full disk": "reading it needs no disk",
        "lost": "it cannot go while the process runs",
    }),
    Surface(FILE, list(_file_cases()), _bring_file, {
        "time": "a file is there or is not; one that does not end is a pipe or a device (place)",
        "full disk": "it is only read",
        "version": "a name that was one is an unknown name (shape)",
    }),
    Surface(TYPED, list(_typed_cases()), _bring_typed, {
        "time": NO_TIME,
        "cut": "the system hands over the arguments whole",
        "lost": "they cannot go while the process runs",
    }, "built"),
]  # fmt: skip
