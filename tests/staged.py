"""Whether what is in raw is in the models: between each raw table, its staging and target."""

from tests.conftest import Warehouse

_QUOTED = (
    "bid is not null and ask is not null and not exists (select from target.quotes "
    "where (quotes.book, quoted_at, feed, quotes.bid, quotes.ask) = "
    "(staged.book, staged.received_at, {feed}, round(staged.bid, 18), round(staged.ask, 18)))"
)


def _not_in(relation: str, columns: str, staged: str = "") -> str:
    return f"({staged or columns}) not in (select {columns} from {relation})"


# By table of raw: its staging view, and what holds for a row of it that is missing in the models.
STAGED: dict[str, tuple[str, str]] = {
    "bitso_tickers": ("stg_bitso__tickers", _QUOTED.format(feed="'ticker'")),
    "bitso_order_books": (
        "stg_bitso__order_books",
        _QUOTED.format(feed="case channel when 'diff-orders' then 'stream' else 'order_book' end"),
    ),
    "spread_observations": ("stg_lake__spread_observations", _QUOTED.format(feed="'lake'")),
    "bitso_books": ("stg_bitso__books", _not_in("target.books", "book")),
    "coingecko_exchanges": ("stg_coingecko__exchanges", _not_in("target.exchanges", "exchange_id")),
    "coingecko_tickers": (
        "stg_coingecko__tickers", _not_in("target.markets", "exchange_id, base, target"),
    ),
    "coincap_exchanges": (
        "stg_coincap__exchanges",
        _not_in("marts.exchange_volumes", "exchange_id, observed_at", "exchange_id, received_at"),
    ),
    **{
        kind: (f"stg_snapshots__{kind}", _not_in(f"target.{kind}", f"{kind}::text", "staged::text"))
        for kind in ("deposits", "withdrawals", "events")
    },
    "users": ("stg_snapshots__users", _not_in("target.users", "user_id")),
    "user_levels": (
        "stg_snapshots__user_levels",
        _not_in(
            "target.user_levels",
            "user_id, jurisdiction, level, valid_from",
            "user_id, jurisdiction, level, reached_at",
        ),
    ),
}  # fmt: skip
# Snapshots that are not in use any more are no part of it.
_SNAPSHOTS = {"deposits", "withdrawals", "events", "users", "user_levels"}


def assert_all_modelled(warehouse: Warehouse) -> dict[str, tuple[int, int]]:
    """Each row of raw is in the models or is counted as unreadable; the two numbers by table."""
    found = {}
    for table, (view, is_missing) in STAGED.items():
        in_use = (
            " inner join raw.snapshots using (snapshot_id) where is_current"
            if table in _SNAPSHOTS
            else ""
        )
        [(rows, staged, unreadable)] = warehouse.rows(
            f"select (select count(*) from raw.{table}{in_use}), "
            f"(select count(*) from staging.{view}), "
            "(select coalesce(sum(records), 0)::int from marts.unreadable_records "
            "where source = %s)",
            table,
        )
        assert rows == staged + unreadable, table
        missing = warehouse.rows(f"select * from staging.{view} as staged where {is_missing}")
        assert missing == [], table
        found[table] = (staged, unreadable)
    return found
