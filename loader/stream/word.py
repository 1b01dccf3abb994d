"""The word that a stream in trouble leaves beside its spool: `loader status` finds it there.

In Postgres it cannot stand: that Postgres takes nothing is what it is about.
"""

import contextlib
from pathlib import Path

from loader.warehouse.clock import SYSTEM_CLOCK
from loader.warehouse.settings import Settings
from loader.warehouse.text import printable, shortened

_LONGEST_CHARACTERS = 300


def spool_path(settings: Settings) -> Path:
    """Where the stream of a warehouse has its spool."""
    return settings.stream_spool_dir / f"{settings.db}.jsonl"


def leave_word(spool: Path, trouble: str | None) -> None:
    """Say what is wrong, as of now; None: nothing is."""
    word = _word_of(spool)
    # A disk that takes nothing is told of in the log.
    with contextlib.suppress(OSError):
        if trouble is not None:
            word.write_text(f"{trouble} (at {SYSTEM_CLOCK.now():%Y-%m-%d %H:%M:%S} UTC)\n")
        else:
            word.unlink(missing_ok=True)


def word_left(spool: Path) -> str | None:
    """What is wrong, if anything is."""
    with contextlib.suppress(OSError), _word_of(spool).open(errors="backslashreplace") as file:
        return printable(shortened(file.read(_LONGEST_CHARACTERS).strip(), _LONGEST_CHARACTERS))
    return None


def _word_of(spool: Path) -> Path:
    return spool.with_suffix(".trouble")
