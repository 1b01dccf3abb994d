"""What every command line of this project has in common: one-line errors and exit codes."""

import errno
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import click
import psycopg2

from loader.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse import database_error


class Terminated(BaseException):
    """SIGTERM: leave like on Ctrl-C, so that open work is rolled back and recorded.

    No KeyboardInterrupt, which click turns into an Abort of its own.
    """


_told_to_end = threading.Event()


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    _told_to_end.set()
    raise Terminated


def end_if_told() -> None:
    """Leave if SIGTERM came where its exception got lost, as in a library's own callback.

    For loops that would else go on for ever.
    """
    if _told_to_end.is_set():
        raise Terminated


def _system_error(error: OSError) -> WarehouseError:
    where = f"{error.filename}: " if error.filename else ""
    message = f"{where}{error.strerror or error}"
    return (TransientError if error.errno == errno.ENOSPC else TerminalError)(message)


class CommandGroup(click.Group):
    """A click group whose errors are one line on stderr and an exit code.

    0 done, 1 failed, 2 wrong usage, 75 temporary; 130 and 143 after Ctrl-C and SIGTERM.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; never returns on an error."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            try:
                code = super().main(*args, **{**kwargs, "standalone_mode": False})
                sys.stdout.flush()
            except psycopg2.Error as error:
                raise database_error(error) from None
            except BrokenPipeError:
                raise
            except OSError as error:
                raise _system_error(error) from None
        except WarehouseError as error:
            click.echo(f"{self.name}: {error}", err=True)
            code = error.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            # Not show(): it puts lines of help around the one that matters.
            click.echo(f"{self.name}: {error.format_message()}", err=True)
            code = error.exit_code
        except Terminated:
            click.echo(f"{self.name}: terminated", err=True)
            code = 143
        except (click.Abort, KeyboardInterrupt):
            click.echo(f"{self.name}: interrupted", err=True)
            code = 130
        except BrokenPipeError:
            # The reader (head, less) has gone: nothing is left to say, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)
