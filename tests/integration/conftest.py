"""Fixtures that more than one folder of tests has use for."""

from collections.abc import Iterator

import pytest

from tests.clocks import NOON, SimulatedClock
from tests.exchange.server import Simulator


@pytest.fixture(scope="module")
def simulators() -> Iterator[Simulator]:
    """An exchange whose clock stands still and that has no limit of calls, for a whole module."""
    with Simulator(3, SimulatedClock(NOON, 0), rate_limited=False) as simulator:
        yield simulator
