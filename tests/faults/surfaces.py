"""Every surface of the campaign."""

from tests.faults.cases import Case, Surface
from tests.faults.database import DATABASE
from tests.faults.files import SNAPSHOTS
from tests.faults.headers import HEADER_SURFACES
from tests.faults.lakes import LAKE_SURFACES
from tests.faults.output import OUTPUT
from tests.faults.quarantine import QUARANTINE
from tests.faults.receivers import RECEIVER_SURFACES
from tests.faults.recordings import RECORDINGS
from tests.faults.replies import REPLIES
from tests.faults.settings import SETTING_SURFACES
from tests.faults.signals import SIGNALS
from tests.faults.streams import STREAM_SURFACES

SURFACES: list[Surface] = [
    *STREAM_SURFACES, REPLIES, *HEADER_SURFACES, SNAPSHOTS, *LAKE_SURFACES, RECORDINGS, QUARANTINE,
    *SETTING_SURFACES, SIGNALS, DATABASE, *RECEIVER_SURFACES, OUTPUT,
]  # fmt: skip


def all_cases() -> list[Case]:
    """Every case, those that share a daemon side by side."""
    return [case for surface in SURFACES for case in surface.cases]


# Surfaces whose cases each take a daemon, or many processes, to begin with.
_SLOW = ("stream handshake", "spool line", "signal moment", "quarantine row")


def part_for_ci() -> list[Case]:
    """What takes about a minute: of each surface a third of its kinds, by turns, a cheap case each.

    Those about time have to wait for its end, and are left to `make faults`.
    """
    chosen = []
    for number, surface in enumerate(SURFACES):
        by_kind: dict[str, Case] = {}
        for case in surface.cases:
            if not case.is_dear and case.kind != "time":
                by_kind.setdefault(case.kind, case)
        of_kinds = list(by_kind.values())
        chosen += of_kinds[:1] if surface.name in _SLOW else of_kinds[number % 3 :: 3]
    return chosen
