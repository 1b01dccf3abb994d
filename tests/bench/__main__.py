"""`python -m tests.bench [NAME...]`: measure parts of the project; all of them without a name."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path

from loader.warehouse.errors import WarehouseError
from loader.warehouse.settings import PROJECT_ROOT
from tests.bench import versions
from tests.bench.figures import Table, alone, chosen, compared, in_turn
from tests.bench.parts import COMPARABLE, NAMES, PARTS, Baseline, Part, Scale, Typed
from tests.bench.site import Site
from tests.bench.stage import Stage, stage

RUNS, QUICK_RUNS = 5, 3


class Bench(ExitStack):
    """What is asked for, and what it needs, made when a part first needs it and gone at the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self._against: str = options.against
        self._runs: int | None = options.runs
        self._is_quick: bool = options.quick
        # The version before, if one is asked for, and this one.
        self._sites: dict[str, Site] = {}

    def set_up(self, parts: Sequence[Part]) -> None:
        """Make the versions ready, if they are needed: without them there is nothing to measure."""
        if not any(isinstance(part, Typed) for part in parts):
            return
        found = {}
        if self._against:
            found["before"] = self.enter_context(versions.checked_out(self._against))
        found["now"] = versions.here()
        for name, version in found.items():
            site = Site(version.label, version.tree, version.scripts, self._directory / name)
            self.callback(site.close)
            site.open()
            self._sites[name] = site

    def tables(self, part: Part) -> Iterator[Table]:
        """What a part finds."""
        scale = dict(part.quick if self._is_quick else part.full)
        if isinstance(part, Baseline):
            if self._runs and "runs" in scale:
                scale["runs"] = self._runs
            yield from part.measure(self._stage, **scale)
        if isinstance(part, Typed):
            yield self._typed(part, scale)

    def _typed(self, part: Typed, scale: Scale) -> Table:
        """The command in each version in turn, after a run of each that warms it up."""
        values = {**scale, "files": self._files(part, scale), "here": PROJECT_ROOT}
        states = {name: site.prepare(part.before, values) for name, site in self._sites.items()}

        def once(name: str, *, is_first: bool = False) -> dict[str, float]:
            site = self._sites[name]
            if is_first or not part.is_reading:
                site.reset(states[name])
            return site.measure(part.command, values, set(part.exits), part.seconds)

        for name in self._sites:
            once(name, is_first=True)
        runs = self._runs or (QUICK_RUNS if self._is_quick else RUNS)
        done = in_turn({name: partial(once, name) for name in self._sites}, runs)
        title = f"{part.name}: " + part.title.format(**scale, seconds=part.seconds)
        if "before" in done:
            label = self._sites["before"].label
            return compared(f"{title}; before is {label}", done["before"], done["now"])
        return alone(title, done["now"])

    def _files(self, part: Typed, scale: Scale) -> Path:
        """The part's inputs, made once for all that have the same."""
        if part.files is None:
            return self._directory
        numbers = "-".join(map(str, scale.values()))
        files = self._directory / f"{part.files.__name__}-{numbers}"
        if not files.exists():
            part.files(files, scale)
        return files

    @cached_property
    def _stage(self) -> Stage:
        return self.enter_context(stage())

    @cached_property
    def _directory(self) -> Path:
        return Path(self.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))


def main() -> int:
    """Measure what was asked for; 0 when all of it could be measured."""
    options = _parsed(sys.argv[1:])
    # However the bench is ended, what it started ends with it.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: sys.exit(128 + number))
    try:
        comparable = COMPARABLE if options.against else ()
        names = chosen(options.parts, NAMES, comparable)
        if options.against:
            options.against = versions.commit_of(options.against)
        parts = [part for part in PARTS if part.name in names]
        with Bench(options) as bench:
            try:
                bench.set_up(parts)
                return _measure(bench, parts, options)
            finally:
                # A second one would leave servers behind.
                for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(name, signal.SIG_IGN)
    except WarehouseError as error:
        sys.stderr.write(f"bench: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _measure(bench: Bench, parts: Sequence[Part], options: argparse.Namespace) -> int:
    """Each part; one that fails says so and leaves the others alone."""
    found: dict[str, object] = {}
    failed = 0
    for part in parts:
        tables = []
        try:
            for table in bench.tables(part):
                sys.stdout.write(str(table))
                sys.stdout.flush()
                tables.append(table.as_json())
        except WarehouseError as error:
            failed += 1
            sys.stderr.write(f"bench: {part.name} is left out: {error}\n")
        found[part.name] = tables
        # After each part, so that an end before the last one leaves what there is.
        _write(options, found)
    sys.stdout.write(f"\nwrote {options.json}\n")
    return min(failed, 1)


def _write(options: argparse.Namespace, found: dict[str, object]) -> None:
    told = {
        "now": versions.described(),
        "against": options.against or None,
        "quick": options.quick,
        "parts": found,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(told, indent=1) + "\n")


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--against", default="", metavar="COMMIT", help="compare with it")
    parser.add_argument("--runs", type=int, help=f"of each part (its own number, or {RUNS})")
    parser.add_argument("--quick", action="store_true", help="small inputs and few runs")
    parser.add_argument(
        "--json", type=Path, default=versions.BUILD / "last.json", help="default: %(default)s"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
