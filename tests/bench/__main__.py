"""`python -m tests.bench [load|others|answers|market|alerts|stream|lake] ...`; all with no name."""

import argparse

from tests.bench.alerts import alerts
from tests.bench.answers import answers, build
from tests.bench.lake import lake
from tests.bench.load import load, others
from tests.bench.market import history, recordings
from tests.bench.stage import stage
from tests.bench.stream import stream


def main() -> None:
    """Measure what was asked for, on a server of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        default=["load", "others", "answers", "market", "alerts", "stream", "lake"],
    )
    parser.add_argument("--rows", type=int, default=5_000_000, help="of load (%(default)s)")
    parser.add_argument(
        "--frames", type=int, default=3_600_000, help="of stream: an hour's (%(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=120, help="of stream (%(default)s)")
    parser.add_argument("--days", type=int, default=365, help="of lake (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 5_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with stage() as (server, directory):
        if "load" in options.parts:
            load(server, directory, options.rows, options.repeats)
        if "others" in options.parts:
            others(server, directory, options.rows // 10, 3)
        if "answers" in options.parts:
            answers(build(server, directory, options.sizes), options.repeats * 2 + 1)
        if "alerts" in options.parts:
            alerts(server, seconds=60, idle_seconds=30)
        if "stream" in options.parts:
            stream(server, directory, options.frames, options.seconds)
        if "lake" in options.parts:
            lake(server, directory, options.days, 3)
        if "market" in options.parts:
            recordings(server, directory, options.rows // 5, 3)
            history(server, [options.rows // 50, options.rows * 2], options.repeats)


if __name__ == "__main__":
    main()
