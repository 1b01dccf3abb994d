"""`python -m tests.faults`: what comes from outside, tried; see tests/faults/cases.py."""

import argparse
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path

from loader.warehouse.postgres.embedded import Embedded
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import migrated_server
from tests.faults.cases import KINDS, Case
from tests.faults.place import World, end_all
from tests.faults.run import Campaign, Verdict, table
from tests.faults.surfaces import SURFACES, all_cases
from tests.in_memory import MEMORY, _has_room


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


def main() -> None:
    """Try the cases, tell those that were not survived, and a table; exit code 1 if there are."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", metavar="KIND|SURFACE", default="",
                        help=f"{', '.join(KINDS)}, or a part of a case's name")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=4, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="name them, and try none")
    given = parser.parse_args()
    if unexplained := [cell for surface in SURFACES for cell in surface.unexplained()]:
        sys.exit(f"neither a case nor a reason, or both: {', '.join(unexplained)}")
    cases = [
        case
        for case in all_cases()
        if given.only == case.kind or re.search(given.only, case.id) or not given.only
    ]
    if given.list:
        _say(*(case.id for case in cases))
        return
    with tempfile.TemporaryDirectory(dir=MEMORY if _has_room() else None) as directory:
        # Some of the commands are somebody else's.
        Path(directory).chmod(0o755)
        verdicts = _try(Path(directory), given.jobs, cases)
    problems = [f"{each.case.id}\n    {each.problem}" for each in verdicts if each.problem]
    _say("", *table(verdicts), "", *problems)
    sys.exit(1 if problems else 0)


def _try(directory: Path, jobs: int, cases: list[Case]) -> list[Verdict]:
    """One server for all of them."""
    # Whoever ends the campaign ends what it has started.
    signal.signal(signal.SIGTERM, _interrupt)
    embedded = Embedded(directory / "home")
    tried = 0
    lock = threading.Lock()

    def tell(verdict: Verdict) -> None:
        nonlocal tried
        with lock:
            tried += 1
            if verdict.problem or tried % 50 == 0:
                what = f": {verdict.case.id}: {verdict.problem}" if verdict.problem else ""
                _say(f"{tried} of {len(cases)}{what}")

    try:
        server = migrated_server(embedded, directory, starts_dbt=True)

        def build() -> str:
            built = server.database("built", "migrated")
            for command, sample in (("snapshots", "sample"), ("replay", "market")):
                done = built.loader(command, PROJECT_ROOT / "seeds" / sample)
                assert done.returncode == 0, done.stderr
            built.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
            return built.where.db

        world = World(server, build)
        needs_models = {surface.name for surface in SURFACES if surface.template == "built"}
        if any(case.surface in needs_models for case in cases):
            world.built()
        return Campaign(world, SURFACES).run(cases, jobs, tell)
    finally:
        end_all()
        embedded.stop()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("ended before the end: what it had started has ended, too")
