"""What a `loader transform` has to build: nothing, what new market rows can change, or all of it.

What a build was made from is noted in its run of the ledger: the project and its seeds, the
current snapshots, the loader's runs, and which tables and views then stood. What differs from
that now decides; a build that was typed by hand, or ended badly, makes the next one whole.
"""

from dataclasses import asdict, dataclass
from typing import Any

from loader.operations import dbt_project
from loader.warehouse.ledger import builds
from loader.warehouse.ledger.builds import News, RunsSeen

EVERYTHING = ("build", "--exclude-resource-type", "test", "unit_test")


@dataclass(frozen=True)
class BuiltFrom:
    """What a build was made from; all but `standing` as it was before the build began."""

    project: str
    snapshots: list[int]
    runs: RunsSeen
    standing: str

    def as_json(self) -> dict[str, Any]:
        """For the detail of a run."""
        return {**asdict(self), "runs": list(self.runs)}

    @classmethod
    def of_json(cls, built: dict[str, Any]) -> "BuiltFrom":
        """The same back."""
        return cls(**{**built, "runs": RunsSeen(*built["runs"])})


def found(cursor: Any, last: BuiltFrom | None) -> BuiltFrom:
    """What a build would be made from at this moment."""
    return BuiltFrom(
        dbt_project.project(),
        builds.current_snapshots(cursor),
        builds.runs_seen(cursor, last.runs.settled_below if last else 0),
        builds.standing(cursor),
    )


def to_build(cursor: Any, last: BuiltFrom | None, now: BuiltFrom) -> tuple[str, ...]:
    """What dbt is to be told; nothing when all of it is built already."""
    if last is None or (last.project, last.snapshots, last.standing) != (
        now.project, now.snapshots, now.standing,
    ):  # fmt: skip
        return EVERYTHING
    news = builds.news_since(cursor, last.runs)
    return _market(news) if news.tables or news.has_watched_time else ()


def _market(news: News) -> tuple[str, ...]:
    """The tables that new rows of raw go into, as dbt's graph has it, and what was watched.

    Views stay as they are: what is new shows through them. What is made of snapshots alone is
    not among the descendants.
    """
    return (
        "run",
        "--select", "source:pipeline+2", "source:pipeline.gaps+",
        *(f"source:*.{table}+" for table in news.tables),
        "--exclude", "config.materialized:view",
        # What there is to say of a few models is on stderr; the last whole build wrote the rest.
        "--no-write-json", "--log-level-file", "none",
    )  # fmt: skip
