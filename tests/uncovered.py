"""`python -m tests.uncovered REPORT`: the largest stretches of lines that no test reaches.

REPORT is what `coverage json` writes. A stretch is a run of statements that nothing executed, with
none between them that something did; blank lines and comments do not part it.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

SHOWN = 10


class Stretch(NamedTuple):
    """Statements in a row."""

    statements: int
    file: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.statements:4} statements  {self.file}:{self.first}-{self.last}"


def stretches(files: Mapping[str, Mapping[str, Any]]) -> list[Stretch]:
    """All of them, the largest first."""
    found = [
        Stretch(len(lines), name, lines[0], lines[-1])
        for name, file in files.items()
        for lines in _runs(file["executed_lines"], file["missing_lines"])
    ]
    return sorted(found, key=lambda one: (-one.statements, one.file, one.first))


def _runs(executed: Iterable[int], missing: Iterable[int]) -> Iterator[list[int]]:
    lines = sorted([*((line, False) for line in executed), *((line, True) for line in missing)])
    for is_missing, together in groupby(lines, key=lambda line: line[1]):
        if is_missing:
            yield [line for line, _ in together]


def main() -> None:
    """Print the largest."""
    report = json.loads(Path(sys.argv[1]).read_text())
    found = stretches(report["files"])
    lines = [f"\nThe {SHOWN} largest of {len(found)} stretches that nothing covers:"]
    lines += [f"  {stretch}" for stretch in found[:SHOWN]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
