"""What all tests of alerts need."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from loader.warehouse.settings import get_settings
from tests import telling
from tests.conftest import Warehouse
from tests.receiver import Receiver, receiver


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as hook:
        yield hook


@pytest.fixture(autouse=True)
def _no_channels_afterwards() -> Iterator[None]:
    yield
    os.environ.pop("WAREHOUSE_ALERT_CHANNELS", None)
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module may have been imported long ago, and old alerts are told to nobody."""
    monkeypatch.setattr(telling, "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def alerts(warehouse: Warehouse) -> Warehouse:
    """A warehouse whose alerts are rows that the test writes."""
    warehouse.rows(telling.MODELS)
    return warehouse
