"""The settings of the market sources."""

import pytest

from loader.warehouse.errors import UsageError
from loader.warehouse.settings import get_settings
from tests.environment import settings


def test_books_are_a_list_with_commas() -> None:
    with settings(WAREHOUSE_BOOKS="btc_mxn, eth_btc"):
        assert get_settings().books == ("btc_mxn", "eth_btc")
    with settings(WAREHOUSE_BOOKS=""):
        assert get_settings().books == ("btc_mxn", "usd_mxn")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAREHOUSE_BOOKS", "BTC_MXN"),
        ("WAREHOUSE_BOOKS", "btc_mxn,,usd_mxn"),
        ("WAREHOUSE_BITSO_URL", "api.bitso.com"),
        ("WAREHOUSE_BITSO_URL", "https://me:secret@api.bitso.com/v3"),
        ("WAREHOUSE_COINCAP_URL", "https://rest.coincap.io/v3?apiKey=secret"),
        ("WAREHOUSE_BITSO_CALLS_PER_MINUTE", "61"),
        ("WAREHOUSE_COINGECKO_PLAN", "basic"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name: str, value: str) -> None:
    with settings(**{name: value}), pytest.raises(UsageError, match=name) as caught:
        get_settings()
    assert "secret" not in str(caught.value)
