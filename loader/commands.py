"""What every command line of this project has in common: one-line errors and exit codes."""

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from loader.errors import WarehouseError


class Terminated(KeyboardInterrupt):
    """SIGTERM: leave like on Ctrl-C, so that open work is rolled back and recorded."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


class CommandGroup(click.Group):
    """A click group whose errors are one line on stderr and an exit code.

    0 done, 1 failed, 2 wrong usage, 75 temporary; 130 and 143 after Ctrl-C and SIGTERM.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; never returns on an error."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.stdout.flush()
        except WarehouseError as error:
            click.echo(f"{self.name}: {error}", err=True)
            code = error.exit_code
        except click.ClickException as error:
            error.show()
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
