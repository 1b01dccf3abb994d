"""The volumes of an exchange: of two looks at one instant the same one decides in any order."""

import json
from datetime import datetime, timedelta

from psycopg2.extensions import adapt

from tests import market
from tests.conftest import Warehouse
from tests.market import START

PAYLOAD = {
    "name": "Name", "rank": "2", "socket": False, "percentTotalVolume": "1", "volumeUsd": "5",
    "tradingPairs": "9", "exchangeUrl": "https://a.example/", "updated": 1_750_493_976_995,
}  # fmt: skip
# What a second payload says differently, a field at a time: an exchange each.
DIFFERENCES: dict[str, object] = {
    "name": "Other", "rank": "1", "socket": True, "percentTotalVolume": "2", "volumeUsd": "6",
    "tradingPairs": "10", "exchangeUrl": "https://b.example/", "updated": 1_750_493_976_994,
}  # fmt: skip
FIRST, SECOND, TOGETHER = (START + timedelta(hours=n) for n in range(3))


def test_two_payloads_of_one_instant_in_any_order(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    # A field may be missing as well.
    others = [
        (f"{field}-{value}", {**PAYLOAD, field: value})
        for field, other in DIFFERENCES.items()
        for value in (other, None)
    ]
    one = [(exchange, PAYLOAD) for exchange, _ in others]
    load(warehouse, [(FIRST, one), (SECOND, others), (TOGETHER, one), (TOGETHER, others)])
    load(warehouse, [(FIRST, others), (SECOND, one)])
    said = (
        "select exchange_id, count(*), count(distinct row(exchange_name, exchange_url, "
        "exchange_rank, volume_usd, percent_total_volume, trading_pairs, has_socket, updated_at)) "
        "from marts.exchange_volumes group by 1 order by 1"
    )
    assert warehouse.rows(said) == sorted((exchange, 3, 1) for exchange, _ in others)
    made = market.digests(warehouse, ["marts.exchange_volumes"])
    warehouse.dbt("run", "--select", "exchange_volumes", "--full-refresh")
    assert market.digests(warehouse, ["marts.exchange_volumes"]) == made


def load(
    warehouse: Warehouse, looks: list[tuple[datetime, list[tuple[str, dict[str, object]]]]]
) -> None:
    """Payloads as one run, and the models after it."""
    run_id = market.open_run(warehouse, "exchange-volumes")
    warehouse.rows("select raw.ensure_day('coincap_exchanges', %s)", START.date())
    warehouse.rows("select raw.ensure_day('coincap_exchanges', %s)", TOGETHER.date())
    values = ", ".join(
        f"({adapt(at).getquoted().decode()}, {adapt(exchange).getquoted().decode()}, "
        f"{adapt(json.dumps(payload)).getquoted().decode()}, {run_id})"
        for at, records in looks
        for exchange, payload in records
    )
    warehouse.rows(
        f"insert into raw.coincap_exchanges (received_at, exchange_id, payload, run_id) "
        f"values {values}"
    )
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = 1, "
        "rows_inserted = 1 where run_id = %s",
        run_id,
    )
    warehouse.dbt("run", "--select", "+exchange_volumes")
