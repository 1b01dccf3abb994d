"""What the tests of Metabase share: its login, and a stand-in that was filled by hand."""

from collections.abc import Iterator

import pytest

from tests.conftest import Server, Warehouse
from tests.metabase import rig
from tests.metabase.world import World, filled_by_hand


@pytest.fixture(scope="module")
def reader(server: Server, sampled: Warehouse) -> Iterator[dict[str, str]]:
    """The login of Metabase, as settings."""
    with rig.reader(server, sampled) as settings:
        yield settings


@pytest.fixture(scope="module")
def filled(server: Server, sampled: Warehouse) -> Iterator[World]:
    """A stand-in with one object of each kind; only `world` changes it."""
    with filled_by_hand(server, sampled) as made:
        yield made


@pytest.fixture
def world(filled: World) -> Iterator[World]:
    """The same, put back as it was after each test."""
    with filled.put_back_afterwards():
        yield filled
