"""What both command lines have in common: errors of one line, and exit codes."""

import errno
import logging
import os
import sys
from typing import Any

import click

from loader.warehouse import signals
from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.redaction import redacted
from loader.warehouse.signals import Terminated


class CommandGroup(click.Group):
    """A click group whose errors are one line on stderr and an exit code.

    0 done, 1 failed, 2 wrong usage, 75 temporary; 130 and 143 after Ctrl-C and SIGTERM.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; never returns on an error."""
        signals.listen()
        # Of an odd header it logs a traceback; what is wrong with a reply we say ourselves.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        code: Any
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            # Not show(): it puts lines of help around the one that matters.
            click.echo(f"{self.name}: {redacted(error.format_message())}", err=True)
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
        except Exception as error:
            known = _in_our_words(error)
            if known is None:
                raise
            click.echo(f"{self.name}: {known}", err=True)
            code = known.exit_code
        sys.exit(code if isinstance(code, int) else 0)


def _in_our_words(error: Exception) -> WarehouseError | None:
    """The error as one of ours; None where it is a fault of the program."""
    if isinstance(error, WarehouseError):
        return error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
        return (TransientError if error.errno == errno.ENOSPC else TerminalError)(message)
    # Where the driver was not loaded, nothing of it can have been raised.
    driver = sys.modules.get("psycopg2")
    if driver is None or not isinstance(error, driver.Error):
        return None
    from loader.warehouse.postgres.failures import database_error  # noqa: PLC0415

    return database_error(error)
