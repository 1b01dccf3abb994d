"""What became of files, rows and records: refused, set aside, left out."""

from collections.abc import Iterator

from loader.operations.checks.finding import Fact, Finding, Scene
from loader.operations.schedule import SCHEDULE
from loader.snapshots.grammar import KINDS
from loader.warehouse.postgres.statements import has_relation, statement
from loader.warehouse.text import age, counted

_JOB_OF = {source: job.name for job in SCHEDULE for source in (*job.tables, *job.set_aside_as)}


def snapshots(scene: Scene) -> Iterator[Finding | Fact]:
    """The newest file of each kind, and what was refused until a good one came."""
    known = scene.rows(
        "select kind, file_name, published_at, row_count from raw.snapshots "
        "where is_current order by kind"
    )
    names = [f"{kind} {age((scene.now - at).total_seconds())}" for kind, _, at, _ in known]
    yield Fact(
        "snapshots",
        {
            kind: {"file": file, "loaded_at": at.isoformat(), "rows": rows}
            for kind, file, at, rows in known
        },
        f"newest snapshots: {', '.join(names) or 'none'}",
    )
    for file, kind, error, since, times in scene.rows(
        statement(__package__, "refused_files"), {"kinds": list(KINDS)}
    ):
        named = error if file in error else f"{file}: {error}"
        often = f" ({times:,} times)" if times > 1 else ""
        yield Finding(
            f"refused{often}: {named}",
            f"mend the file, or bring another one of {kind or 'its kind'}: `loader snapshots FILE` "
            "says whether it is good",
            since,
            job="snapshots",
        )


def quarantine(scene: Scene) -> Iterator[Finding | Fact]:
    """Rows that were set aside and that no redrive has loaded, by source and age."""
    known = {}
    for source, rows, of_today, oldest in scene.rows(statement(__package__, "set_aside_rows")):
        known[source] = {"rows": rows, "last_24_hours": of_today}
        yield Finding(
            f"{counted(rows, 'row')} of {source} set aside, {of_today:,} of them in the last 24 "
            "hours",
            "`loader quarantine list` says why; `loader quarantine redrive` loads what can be read "
            "by now",
            oldest,
            job=_JOB_OF.get(source),
        )
    yield Fact("quarantine", known, "")


def unreadable(scene: Scene) -> Iterator[Finding | Fact]:
    """Records in raw that the models leave out, as their last run counted them."""
    if not has_relation(scene.cursor, "marts.unreadable_records"):
        return
    known = scene.rows(
        "select source, reason, records from marts.unreadable_records order by source, reason"
    )
    yield Fact(
        "unreadable",
        [{"source": source, "reason": why, "records": number} for source, why, number in known],
        "",
    )
    for source in dict.fromkeys(source for source, _, _ in known):
        reasons = [(why, number) for name, why, number in known if name == source]
        told = "; ".join(f"{why}: {number:,}" for why, number in reasons)
        yield Finding(
            f"left out of the models: {source}: {told}",
            "they stay in raw, and are modelled once the models can read them: "
            "`dashboards ask unreadable-records`",
            job=_JOB_OF.get(source),
        )
