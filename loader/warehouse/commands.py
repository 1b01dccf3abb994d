"""What every command line of this project has in common: one-line errors and exit codes."""

import errno
import os
import sys
from typing import Any

import click
import psycopg2

from loader.warehouse import signals
from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.postgres.connection import database_error
from loader.warehouse.signals import Terminated


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
        signals.listen()
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
