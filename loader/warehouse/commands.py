"""What both command lines have in common: errors and log lines of one line, and exit codes."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import click
from click.core import ParameterSource

from loader.warehouse import signals, streams
from loader.warehouse.errors import TerminalError, TransientError, UsageError, WarehouseError
from loader.warehouse.redaction import redacted
from loader.warehouse.signals import Terminated
from loader.warehouse.text import nearest_name, one_line


class LogLine(logging.Formatter):
    """A record as one line, whatever is in it, without key or password."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return one_line(redacted(super().format(record)))


class GivenPath(click.Path):
    """A path that somebody has given: an empty one, as of a variable that is not set, is none.

    It would stand for the current directory.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if not os.fspath(value):
            self.fail("is empty: the path of a file or directory is wanted", param, ctx)
        return super().convert(value, param, ctx)


class CommandGroup(click.Group):
    """A click group whose errors are one line on stderr and an exit code.

    0 done, 1 failed, 2 wrong usage, 75 temporary; 130 and 143 after Ctrl-C and SIGTERM. A command
    whose answer cannot be written to stdout has failed; where its reader (head, less) has gone, it
    ends with 141 and says nothing, as other programs do. What all command lines have beside their
    own comes with it: `--version`, `-q`, `-v`, `-h` and `completion`.
    """

    # Where errors are told, also when nothing else is to be.
    _told: TextIO | None = None

    def __init__(self, *args: Any, log_level: int = logging.WARNING, **more: Any) -> None:
        super().__init__(*args, **more)
        self._log_level = log_level
        self.context_settings = {
            "max_content_width": 100, "help_option_names": ["-h", "--help"],
            **self.context_settings,
        }  # fmt: skip
        self.params += [
            _flag(_show_version, "--version", help="Say which version this is, and leave."),
            _flag(_hush, "-q", "--quiet", help="Say nothing on stderr but errors."),
            _flag(_log_more, "-v", "--verbose", help="Log more: SQL, connections, dbt's lines."),
        ]
        self.add_command(completion)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *_: Any,
        **extra: Any,
    ) -> Any:
        """Run the command line; never returns."""
        with streams.prepared() as self._told:
            try:
                with signals.heard():
                    _log_to_stderr(self._log_level)
                    code = self._run(args, prog_name, extra)
            except Terminated:
                code = self._ended_by(signal.SIGTERM)
            except KeyboardInterrupt:
                code = self._ended_by(signal.SIGINT)
            streams.settle()
        sys.exit(code)

    def _run(self, args: Sequence[str] | None, prog_name: str | None, extra: dict[str, Any]) -> int:
        """The exit code, once what went wrong is said."""
        try:
            try:
                self._invoke(args, prog_name or self.name or "", extra)
            except Exception as error:
                # What a signal raised may have got lost, and this have come of it.
                if not isinstance(error, click.exceptions.Exit):
                    signals.end_if_told()
                raise
        except click.exceptions.Exit as end:
            code = end.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            # Not show(): it puts lines of help around the one that matters.
            self._say(_in_one_line(error))
            code = error.exit_code
        except OSError as error:
            # What went past the buffer is not held any more: the pipe itself is asked.
            has_gone = isinstance(error, BrokenPipeError) and streams.has_no_reader()
            lost = streams.settle()
            return self._failed(lost or error, "stdout" if lost or has_gone else error.filename)
        except Exception as error:
            known = _in_our_words(error)
            if known is None:
                raise
            self._say(str(known))
            code = known.exit_code
        else:
            code = 0
        lost = streams.settle()
        return self._failed(lost, "stdout") if lost and not code else code

    def _invoke(self, args: Sequence[str] | None, prog_name: str, extra: dict[str, Any]) -> None:
        """As click's own `main` does, which says and prints more of Ctrl-C than it should."""
        try:
            if f"_{prog_name}_COMPLETE".upper() in os.environ:
                from loader.warehouse.shells import quote_names  # noqa: PLC0415

                quote_names()
            self._main_shell_completion(extra, prog_name)
        except WarehouseError:
            # A name in the middle of the line may be wrong: then there is nothing to complete.
            return
        typed = list(sys.argv[1:] if args is None else args)
        with self.make_context(prog_name, typed, **extra) as context:
            self.invoke(context)

    def _failed(self, error: OSError, name: Any) -> int:
        """The exit code of what the system refused."""
        if isinstance(error, BrokenPipeError) and name == "stdout":
            return 128 + signal.SIGPIPE
        where = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
        is_closed = error.errno == errno.EBADF and name == "stdout"
        reason = "it is closed, the answer has nowhere to go" if is_closed else error.strerror
        self._say(f"{where}{reason or error}")
        # Room may be made, and then the same call works.
        kind = TransientError if error.errno == errno.ENOSPC else TerminalError
        return kind.exit_code

    def _ended_by(self, number: signal.Signals) -> int:
        self._say(signals.ENDINGS[number])
        return 128 + number

    def _say(self, message: str) -> None:
        click.echo(f"{self.name}: {one_line(redacted(message))}", self._told)


def refuse_options_before(context: click.Context) -> None:
    """Raise UsageError for an option that a group takes by itself, where a command follows it."""
    for param in context.command.params:
        if context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{param.opts[0]} stands alone: leave it or {context.invoked_subcommand} out"
            )


def _in_one_line(error: click.ClickException) -> str:
    """What click says of wrong usage; a name is near by its letters, not by its dashes."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        names = [
            opt[2:] for param in error.ctx.command.params for opt in param.opts if opt[:2] == "--"
        ]
        close = nearest_name(error.option_name.lstrip("-"), names)
        hint = f": did you mean --{close}?" if close else ""
        return f"no such option: {error.option_name}{hint}"
    return " ".join(line.strip() for line in error.format_message().splitlines())


def _flag(do: Callable[[click.Context], None], *names: str, help: str) -> click.Option:  # noqa: A002
    """An option that does something before the command runs."""

    def callback(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
        if is_given and not context.resilient_parsing:
            do(context)

    return click.Option(
        names, is_flag=True, is_eager=True, expose_value=False, help=help, callback=callback
    )


def _show_version(context: click.Context) -> None:
    from importlib.metadata import version  # noqa: PLC0415

    click.echo(f"{context.info_name} {version('bitso-warehouse')}")
    context.exit()


def _hush(_context: click.Context) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    streams.hush()


def _log_more(_context: click.Context) -> None:
    logging.getLogger().setLevel(logging.DEBUG)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete this command: names of commands, options, books, questions.

    bash, zsh: eval "$(NAME completion SHELL)" in ~/.bashrc or ~/.zshrc; fish: NAME completion fish
    > ~/.config/fish/completions/NAME.fish, NAME being loader or dashboards.
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    root = context.find_root()
    name = root.command.name or ""
    script = get_completion_class(shell)
    assert script
    click.echo(script(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLine("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level)
    for library in ("asyncio", "websockets"):
        # They tell of each frame.
        logging.getLogger(library).setLevel(logging.INFO)
    # Of an odd header it logs a traceback; what is wrong with a reply we say ourselves.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _in_our_words(error: Exception) -> WarehouseError | None:
    """The error as one of ours; None where it is a fault of the program."""
    if isinstance(error, WarehouseError):
        return error
    # Where the driver was not loaded, nothing of it can have been raised.
    driver = sys.modules.get("psycopg2")
    if driver is None or not isinstance(error, driver.Error):
        return None
    from loader.warehouse.postgres.failures import database_error  # noqa: PLC0415

    return database_error(error)
