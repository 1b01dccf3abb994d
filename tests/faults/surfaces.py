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


def first_of_each_cell() -> list[Case]:
    """One cheap case of each kind on each surface."""
    cells: dict[tuple[str, str], Case] = {}
    for case in all_cases():
        if not case.is_dear:
            cells.setdefault((case.surface, case.kind), case)
    return list(cells.values())
