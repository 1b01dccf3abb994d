"""stdout and stderr: what a command says, where nobody takes it or not as it is."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD
from typing import NamedTuple

from tests.faults.cases import Case, Holds, Surface
from tests.faults.place import Place, Ran, Started
from tests.waiting import wait_for

NAME = "output"
ODD = "a\x1b[2J\x07\u202e\u2066b\x9bñ€\U0001f600"
ROWS = 3000
LIST = ("loader", "quarantine", "list", "--limit", str(ROWS))
WRONG = ("loader", "quarantine", "list", "--limit", "x\x1b[2J\u202eñ")
COMMANDS = {
    "a table": LIST, "help": ("loader", "--help"), "questions": ("dashboards", "ask", "--list"),
    "an error": WRONG,
}  # fmt: skip
# A reader that has gone, or a disk that is full, is no success; but it may all have been said.
ENDS = (0, 1, 2, 75, 141)
PIPE_BYTES = 1 << 16


class Goes(NamedTuple):
    """Where output goes: to a descriptor, to one that the shell makes, or in some encoding."""

    shell: str = ""
    out: str = ""
    err: str = ""
    encoding: str = ""


def bring(place: Place, case: Case) -> None:
    """Run a command whose output goes elsewhere."""
    command, goes = case.what
    place.rows(
        "insert into ops.runs (job, status, finished_at, rows_read, rows_quarantined) "
        "values ('x', 'succeeded', now(), %s, %s)", ROWS, ROWS,
    )  # fmt: skip
    place.rows(
        "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw) "
        "select (select max(run_id) from ops.runs), 'deposits', %s, 'bad', %s, %s "
        "from generate_series(1, %s)", ODD, ODD, ODD, ROWS,
    )  # fmt: skip
    if goes.out == "terminal":
        place.survived(_on_a_terminal(place, command), case.holds.exits)
        return
    with _opened(goes.out) as out, _opened(goes.err) as err:
        wrap = ("/bin/sh", "-c", f'exec "$@" {goes.shell}', "sh") if goes.shell else ()
        started = place.start(*command, out=out, err=err, wrap=wrap, env=_encoding(goes.encoding))
        if goes.out == "silent":
            assert out is not None
            wait_for(lambda: _waiting(out) >= PIPE_BYTES or not started.is_running, "a full pipe")
            started.send(signal.SIGINT)
        ran = started.end()
    is_heard = "2>" not in goes.shell and not goes.err and goes.out != "gone"
    place.survived(ran, case.holds.exits, is_heard=is_heard)


def _encoding(name: str) -> dict[str, str]:
    if name == "C":
        return {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return {"PYTHONIOENCODING": name} if name else {}


def _waiting(pipe: int) -> int:
    """How many bytes of a pipe nobody has read."""
    return int(unpack("i", ioctl(pipe, FIONREAD, b"    "))[0])


@contextmanager
def _opened(where: str) -> Iterator[int | None]:
    """A descriptor of a file, of a pipe that nobody reads, or of one whose reader has gone."""
    if not where:
        yield None
        return
    if where in ("silent", "gone"):
        reader, writer = os.pipe()
    else:
        reader, writer = -1, os.open(where, os.O_WRONLY)
    try:
        if where == "gone":
            os.close(reader)
        yield writer
    finally:
        os.close(writer)
        if where == "silent":
            os.close(reader)


def _on_a_terminal(place: Place, command: tuple[str, ...]) -> Ran:
    """What a terminal is told, as if it were stderr: all of it would act there."""
    leader, follower = os.openpty()
    try:
        started = place.start(*command, out=follower, err=follower)
        os.close(follower)
        said = _read_all(leader, started)
        return started.end()._replace(err=said.replace(b"\r\n", b"\n"))
    finally:
        os.close(leader)


def _read_all(leader: int, started: Started) -> bytes:
    said = b""
    while True:
        try:
            piece = os.read(leader, PIPE_BYTES)
        except OSError:
            # The other end is closed: everything was said.
            return said
        if not piece and not started.is_running:
            return said
        said += piece


WHERE: dict[str, tuple[str, Goes]] = {
    "stdout is closed": ("lost", Goes(">&-")),
    "stderr is closed": ("lost", Goes("2>&-")),
    "both are closed": ("lost", Goes(">&- 2>&-")),
    "the reader has gone": ("cut", Goes(out="gone")),
    "the reader of errors has gone": ("cut", Goes(err="gone")),
    "stdout is on a full disk": ("full disk", Goes(out="/dev/full")),
    "stderr is on a full disk": ("full disk", Goes(err="/dev/full")),
    "ASCII": ("encoding", Goes(encoding="ascii")),
    "latin-1": ("encoding", Goes(encoding="latin-1")),
    "no locale": ("encoding", Goes(encoding="C")),
    "a terminal": ("text", Goes(out="terminal")),
}


def _output_cases() -> Iterator[Case]:
    for name, command in COMMANDS.items():
        for where, (kind, goes) in WHERE.items():
            yield Case(NAME, kind, f"{name}: {where}", (command, goes), Holds(ENDS))
    # Ctrl-C ends what nobody reads.
    yield Case(NAME, "time", "a reader that does not read", (LIST, Goes(out="silent")),
               Holds((130,)))  # fmt: skip


OUTPUT = Surface(NAME, list(_output_cases()), bring, {
    "numbers": "a reader says nothing", "shape": "a reader says nothing",
    "size": "rows without end are the surface quarantine row",
    "duplication": "a reader says nothing", "order": "a reader says nothing",
    "permission": "a descriptor is open already", "version": "a reader says nothing",
    "place": "what Python cannot write to at all ends it before our first line",
}, "built")  # fmt: skip
