"""Where `loader` begins: of ours, nothing is imported before Ctrl-C and SIGTERM are heard."""

try:
    from loader.warehouse import signals

    signals.end_at_once()
except KeyboardInterrupt:
    raise SystemExit(130) from None


def main() -> None:
    """The command line; never returns."""
    from loader.warehouse import streams

    streams.keep_their_numbers()
    from loader.cli.main import main as run

    run()
