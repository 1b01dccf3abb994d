"""A warehouse of the version before whose builds all fail at one record: the next heals it."""

import json

import psycopg2
import pytest

from tests.conftest import Warehouse
from tests.market import open_run
from tests.market_files import NOON

# How staging read these members then: whatever was no such number ended every build.
OLD_CASTS = {
    "stg_coincap__exchanges": (
        "select exchange_id, run_id, received_at, "
        "cast(payload ->> 'rank' as integer) as exchange_rank, "
        "cast(payload ->> 'volumeUsd' as numeric(56, 18)) as volume_usd, "
        "cast(payload ->> 'percentTotalVolume' as numeric(56, 36)) as percent_total_volume, "
        "cast(payload ->> 'tradingPairs' as integer) as trading_pairs, "
        "cast(payload ->> 'socket' as boolean) as has_socket, "
        "payload ->> 'name' as exchange_name, payload ->> 'exchangeUrl' as exchange_url, "
        "timestamptz '1970-01-01 00:00+00' + cast(payload ->> 'updated' as bigint) "
        "* interval '1 millisecond' as updated_at from raw.coincap_exchanges"
    ),
    "stg_coingecko__exchanges": (
        "select exchange_id, run_id, received_at, "
        "cast(cast(payload ->> 'trust_score' as numeric) as integer) as trust_score, "
        "cast(cast(payload ->> 'trust_score_rank' as numeric) as integer) as trust_score_rank, "
        "payload ->> 'name' as exchange_name from raw.coingecko_exchanges"
    ),
}
NEW = (
    "drop view marts.unreadable_records; "
    "drop table staging.stg_pipeline__unreadable, staging.stg_snapshots__unreadable; "
    "delete from staging.stg_pipeline__progress where model_name = 'stg_pipeline__unreadable'; "
    "drop view staging.stg_coingecko__tickers; "
    "drop function marts.readable_integer, marts.readable_whole_number, marts.readable_amount, "
    "marts.readable_instant, marts.readable_boolean, marts.readable_text, marts.readable_number"
)
COINCAP = {
    "exchangeId": "binance", "name": "Binance", "rank": "1", "percentTotalVolume": "20.5",
    "volumeUsd": "123.4", "tradingPairs": "10", "socket": True, "exchangeUrl": "https://x",
    "updated": 1750000000000,
}  # fmt: skip
COINGECKO = {"id": "kraken", "name": "Kraken", "trust_score": 10, "trust_score_rank": 3}


def receive(warehouse: Warehouse, table: str, *payloads: dict[str, object]) -> None:
    """Rows as the loader of the version before let them in: one finished run, one instant each."""
    run_id = open_run(warehouse)
    warehouse.rows("select raw.ensure_day(%s, %s)", table, NOON.date())
    for number, payload in enumerate(payloads):
        warehouse.rows(
            f"insert into raw.{table} (received_at, exchange_id, payload, run_id) "
            "values (%s + %s * interval '1 second', %s, %s, %s)",
            NOON, run_id + number, payload.get("exchangeId") or payload["id"],
            json.dumps(payload), run_id,
        )  # fmt: skip
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = %s, "
        "rows_inserted = %s where run_id = %s",
        len(payloads), len(payloads), run_id,
    )  # fmt: skip


def test_what_ended_every_build_is_modelled_by_the_next(warehouse: Warehouse) -> None:
    receive(warehouse, "coincap_exchanges", COINCAP)
    receive(warehouse, "coingecko_exchanges", COINGECKO)
    warehouse.transform()
    # The version before, as it left the warehouse.
    for view, select in OLD_CASTS.items():
        warehouse.rows(f"create or replace view staging.{view} as {select}")
    warehouse.rows(NEW)
    odd = [{"rank": "1.0"}, {"tradingPairs": ""}, {"updated": "2025-06-21T00:00:00Z"}]
    receive(warehouse, "coincap_exchanges", *({**COINCAP, **member} for member in odd))
    receive(warehouse, "coingecko_exchanges", {**COINGECKO, "trust_score_rank": "N/A"})
    for view in OLD_CASTS:
        with pytest.raises(psycopg2.DataError):
            warehouse.rows(f"select * from staging.{view}")

    assert warehouse.transform().status == "succeeded"
    assert warehouse.rows(
        "select exchange_rank, trading_pairs, updated_at is null, volume_usd::float8 "
        "from marts.exchange_volumes order by observed_at"
    ) == [(1, 10, False, 123.4), (1, 10, False, 123.4), (1, None, False, 123.4),
          (1, 10, True, 123.4)]  # fmt: skip
    assert warehouse.rows(
        "select exchange_id, trust_score, trust_score_rank from target.exchanges"
    ) == [("kraken", 10, None)]
    assert warehouse.rows("select * from marts.unreadable_records") == []
