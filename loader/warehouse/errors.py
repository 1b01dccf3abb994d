"""Every exception that the commands turn into one line and an exit code.

WarehouseError
├── TransientError          exit 75: the same call may work later
│   ├── AlreadyRunningError     another run of the same job holds its lock
│   └── FileChangedError        somebody was at work on a file
└── TerminalError           exit 1: something must change first
    ├── NotFoundError           a source does not know what it was asked for
    ├── RefusedError            the input as a whole cannot be taken
    └── UsageError              exit 2: the call itself is wrong
"""


class WarehouseError(Exception):
    """Base of all: its text is one line that says what to do and holds no secret."""

    exit_code = 1


class TransientError(WarehouseError):
    """Try again later; nothing was left half done."""

    exit_code = 75


class AlreadyRunningError(TransientError):
    """Another run of the same job is at work."""


class FileChangedError(TransientError):
    """A file changed while it was read: nothing of it stays, the others can go on."""


class TerminalError(WarehouseError):
    """Trying again without a change would fail again."""


class NotFoundError(TerminalError):
    """A book, coin or exchange that the source does not know: the others can go on."""


class RefusedError(TerminalError):
    """A file or payload was refused whole: none of its rows was loaded."""


class UsageError(TerminalError):
    """A wrong name, option or value was typed."""

    exit_code = 2
