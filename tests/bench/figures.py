"""What is made of the measurements: medians, ratios pair by pair, tables. Nothing here measures."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from loader.warehouse.errors import UsageError

T = TypeVar("T")

# Ratios further apart than this share of their median say more about the machine than the code.
WIDE = 0.2


class Spread(NamedTuple):
    """How a figure came out over the runs."""

    median: float
    least: float
    most: float

    @property
    def is_wide(self) -> bool:
        """So far apart that the median alone would mislead."""
        return self.most - self.least > WIDE * self.median


def spread(values: Sequence[float]) -> Spread:
    """Of at least one run."""
    return Spread(statistics.median(values), min(values), max(values))


def median(values: Sequence[float]) -> float:
    """The middle of the measurements."""
    return statistics.median(values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Each run of ours to the run of theirs beside it, which met the same load of the machine.

    A pair is left out when theirs is zero: the clock was too coarse for it.
    """
    return [mine / other for mine, other in zip(ours, theirs, strict=True) if other]


def in_turn(contenders: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """Run each once, then each once more: what else the machine does meets all of them alike.

    Whoever needs a library that is not installed is left out.
    """
    done: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name in list(done):
            try:
                done[name].append(contenders[name]())
            except ModuleNotFoundError:
                del done[name]
    return done


def chosen(asked: Iterable[str], known: Sequence[str], comparable: Sequence[str] = ()) -> list[str]:
    """The parts that were named, in the order of `known`; all of them when none was.

    Names are separated by blanks or commas. With `comparable`, only those can be asked for.
    Raises UsageError for any other name.
    """
    offered = comparable or known
    names = [name for text in asked for name in text.replace(",", " ").split()]
    for name in names:
        if name not in known:
            raise UsageError(f"no such part: {name}: there are {', '.join(offered)}")
        if name not in offered:
            raise UsageError(
                f"{name} is measured against other tools, not versions: "
                f"with AGAINST there are {', '.join(offered)}"
            )
    return [name for name in offered if name in names or not names]


@dataclass(frozen=True)
class Table:
    """What a part found: to be read, and as exact figures for whoever makes a page of it."""

    title: str
    rows: Sequence[tuple[str, ...]]
    figures: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in self.rows
        )
        return "\n".join(["", self.title, *(f"  {line}" for line in (*lines, *self.notes)), ""])

    def as_json(self) -> dict[str, object]:
        """The same for a file."""
        return {
            "title": self.title,
            "rows": [list(row) for row in self.rows],
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }


class Figure(NamedTuple):
    """Something that each run is measured for."""

    key: str
    name: str
    form: str
    # Below it the clock is too coarse for a ratio.
    floor: float = 0


FIGURES = (
    Figure("wall", "wall-clock seconds", ".3f"),
    Figure("cpu", "CPU seconds of the command", ".3f"),
    # counted in hundredths
    Figure("server_cpu", "CPU seconds of the server", ".2f", 0.1),
    Figure("peak_mib", "peak memory of its largest process, MiB", ".0f"),
)


def alone(title: str, runs: Sequence[Mapping[str, float]]) -> Table:
    """What one version takes."""
    spreads = {figure.key: spread([run[figure.key] for run in runs]) for figure in FIGURES}
    rows = [(one.name, *(f"{value:{one.form}}" for value in spreads[one.key])) for one in FIGURES]
    return Table(
        f"{title}, {_times(len(runs))}",
        [("", "median", "least", "most"), *rows],
        {"runs": {"now": [dict(run) for run in runs]}},
        _notes({"seconds": spreads["wall"]}),
    )


def compared(
    title: str, before: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]]
) -> Table:
    """What two versions take, and each run's ratio to the one beside it."""
    rows: list[tuple[str, ...]] = [("", "before", "now", "ratio", "least", "most", "pairs lower")]
    found: dict[str, object] = {}
    wide = {}
    for key, name, form, floor in FIGURES:
        old, new = ([run[key] for run in runs] for runs in (before, now))
        pairs = ratios(new, old) if median(old) >= floor else []
        cells = [f"{median(old):{form}}", f"{median(new):{form}}"]
        if pairs:
            ratio = spread(pairs)
            found[key] = ratio._asdict()
            lower = sum(pair < 1 for pair in pairs)
            cells += [*(f"{value:.2f}" for value in ratio), f"{lower} of {len(pairs)}"]
            if key in {"wall", "cpu"}:
                wide[f"ratios of the {name}"] = ratio
        else:
            cells += ["-"] * 4
        rows.append((name, *cells))
    return Table(
        f"{title}, {_times(len(now))} of each in turn",
        rows,
        {"runs": {"before": [dict(run) for run in before], "now": [dict(run) for run in now]},
         "ratios": found},
        _notes(wide),
    )  # fmt: skip


def _times(runs: int) -> str:
    return f"{runs} run{'s' if runs > 1 else ''}"


def _notes(spreads: Mapping[str, Spread]) -> list[str]:
    """A word of warning where the median alone would mislead."""
    return [
        f"the {name} spread wide ({found.least:.2f} to {found.most:.2f}): "
        "more runs (RUNS=...) or a quieter machine would tell more"
        for name, found in spreads.items()
        if found.is_wide
    ]
