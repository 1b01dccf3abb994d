"""The stand-in on its own, in Metabase's place: `python -m tests.metabase`."""

import argparse
from pathlib import Path

from tests.metabase.server import MetabaseStandIn

parser = argparse.ArgumentParser(prog="python -m tests.metabase", description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=3000)
parser.add_argument("--state", type=Path, help="a file that keeps what it holds")
arguments = parser.parse_args()
MetabaseStandIn(arguments.host, arguments.port, arguments.state).serve()
