"""`python -m tests.exchange`: run the simulator, or write a recording of its market."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.clocks import SimulatedClock
from tests.exchange import recording
from tests.exchange.live import Pace
from tests.exchange.server import Simulator


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=0, help="For REST; 0: anywhere.")
@click.option("--stream-port", default=0, help="For the WebSocket; 0: anywhere.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another market.")
@click.option("--start", type=click.DateTime(), help="Its time of day, in UTC; unset: now.")
@click.option("--speed", default=1.0, show_default=True, help="How fast its time goes; 0: not.")
@click.option("--unlimited", is_flag=True, help="Without Bitso's 60 calls a minute.")
@click.option("--frames", default=100.0, show_default=True, help="Of the stream, a second.")
@click.option("--history", default=5000, show_default=True, help="States of a book remembered.")
@click.option("--orders", default=80, show_default=True, help="On each side of a book.")
@click.pass_context
def main(
    context: click.Context,
    host: str,
    port: int,
    stream_port: int,
    seed: int,
    start: datetime | None,
    speed: float,
    frames: float,
    history: int,
    orders: int,
    *,
    unlimited: bool,
) -> None:
    """Be Bitso, CoinGecko and CoinCap until Ctrl-C."""
    if context.invoked_subcommand:
        return
    clock = SimulatedClock(start.replace(tzinfo=UTC) if start else None, speed)
    with Simulator(
        seed, clock, port, host=host, stream_port=stream_port,
        rate_limited=not unlimited, frames_per_second=frames, pace=Pace(orders, history=history),
    ) as simulator:  # fmt: skip
        for name, value in simulator.environment.items():
            click.echo(f"export {name}={value}")
        click.echo(f"# faults: {simulator.url}/control/faults")
        threading.Event().wait()


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", default=7, show_default=True, help="Another seed, another market.")
def record(directory: Path, seed: int) -> None:
    """Write a recording of two hours of its market to DIRECTORY, for `loader replay`."""
    for path in recording.write(directory, seed):
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
