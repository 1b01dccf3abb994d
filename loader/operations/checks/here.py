"""What can be looked at on this host, also while the warehouse cannot be reached."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from loader.operations.checks.finding import Fact, Finding, Scene, Weight
from loader.stream.word import spool_path, word_left
from loader.warehouse.clock import MINUTE
from loader.warehouse.text import counted, told_path

WARN_PERCENT, FAIL_PERCENT = 80, 95
MIB = 1 << 20
# A stream that runs takes lines out of its spool, or adds one each second.
STANDS_STILL = 3 * MINUTE


def disk(scene: Scene) -> Iterator[Finding | Fact]:
    """How full the disks are: of the embedded database, and of the stream's spool.

    That of a server elsewhere cannot be seen from here.
    """
    settings = scene.settings
    where = {} if settings.host else {"data": settings.home}
    known = {}
    for name, path in {**where, "spool": settings.stream_spool_dir}.items():
        usage = shutil.disk_usage(_there(path))
        # As df has it: what is kept for root is not for us.
        percent = round(100 * usage.used / max(1, usage.used + usage.free), 1)
        known[name] = {"path": told_path(path), "percent": percent, "free_bytes": usage.free}
        if weight := _weight(percent):
            yield Finding(
                f"the disk of the {name} ({told_path(path)}) is {percent:g} % full, "
                f"{usage.free // MIB:,} MiB left",
                "make room there; `loader prune` drops old days, WAREHOUSE_KEEP_DAYS_... and "
                "WAREHOUSE_SNAPSHOTS_KEPT say how much is kept",
                weight=weight,
            )
    told = ", ".join(f"{name} {one['percent']:g} %" for name, one in known.items())
    yield Fact("disk", known, f"disk: {told}")


def spool(scene: Scene) -> Iterator[Finding | Fact]:
    """How much of the stream waits in its file, and whether anybody takes it from there."""
    path = spool_path(scene.settings)
    try:
        found = path.stat()
        size, changed = found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)
    except OSError:
        size, changed = 0, scene.now
    percent = round(100 * size / (scene.settings.stream_spool_mib * MIB), 1)
    if weight := _weight(percent):
        yield Finding(
            f"the stream's spool is {percent:g} % full: what it cannot hold becomes gaps",
            "let the warehouse take them: see below what is wrong with it or with the stream; "
            "WAREHOUSE_STREAM_SPOOL_MIB allows more",
            weight=weight,
            job="stream",
        )
    if size and scene.now - changed > STANDS_STILL:
        yield Finding(
            f"{counted(size, 'byte')} of the stream wait in {told_path(path)}: nobody takes them",
            "start `loader stream`, which brings them into the warehouse",
            changed,
            job="stream",
        )
    yield Fact("spool_bytes", size, f"spool: {counted(size, 'byte')}" if size else "spool: empty")


def stream_word(scene: Scene) -> Iterator[Finding | Fact]:
    """What a stream has left beside its spool, because Postgres takes nothing of it."""
    if word := word_left(spool_path(scene.settings)):
        yield Finding(
            f"the stream cannot write to the warehouse: {word}",
            "mend that, and the stream goes on by itself; what it saw meanwhile is in its spool",
            job="stream",
        )


def _there(path: Path) -> Path:
    """The path, or the nearest above it that exists: it will be made on the same disk."""
    return next(each for each in (path, *path.resolve().parents) if each.exists())


def _weight(percent: float) -> Weight | None:
    if percent >= FAIL_PERCENT:
        return "fail"
    return "warn" if percent >= WARN_PERCENT else None
