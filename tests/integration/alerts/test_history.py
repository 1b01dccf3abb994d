"""However much was told and passed over before: a look reads what there is to tell now."""

from contextlib import closing

from loader.alerts.sender import Sender
from loader.warehouse.ledger import deliveries
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse
from tests.receiver import Receiver
from tests.telling import events, minutes_ago, put, tell

# Of each hour an alert that was passed over, one that was told, and a time without quotes; of the
# book and threshold that the test is about.
HISTORY = """
with hours as (
    select now() - n * interval '1 hour' as hour from generate_series(%s, %s) as n
), alerts as (
    insert into marts.spread_alerts_live
    select 'btc_mxn', 0.5, opened_at, opened_at + interval '1 minute', opened_at, opened_at,
        'calm', 'default', 990, 1000, 1, 1.25, 7, 7
    from hours cross join lateral (values (hour), (hour - interval '30 minutes')) as two (opened_at)
)
insert into ops.alert_deliveries (
    book, threshold_pct, opened_at, seen_until, episode_event, channel, address, attempt, status,
    idempotency_key, finished_at
)
select 'btc_mxn', threshold_pct, hour - before, hour - before + interval '1 minute', event,
    'default', address, 1, status, gen_random_uuid(), hour
from hours cross join (values
    (0.5, interval '30 minutes', 'opened', 0, 'skipped'), (0.5, interval '0', 'opened', 1, 'sent'),
    (0.5, interval '0', 'closed', 1, 'sent'), (null, interval '10 minutes', 'blind', 1, 'sent'),
    (null, interval '10 minutes', 'seen', 1, 'sent')
) as told (threshold_pct, before, event, address, status)
"""
CLOSE = (
    "update marts.spread_alerts_live set closed_at = %s, close_reason = 'calm' "
    "where closed_at is null"
)
# Pages of the table and its indexes that anybody has asked for, whether they were in memory or not.
PAGES = """
select heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
from pg_statio_all_tables where relid = 'ops.alert_deliveries'::regclass
"""


def pages_of_a_round(warehouse: Warehouse) -> int:
    """A sender begins, looks, tells what there is to tell, and is asked how it goes."""
    [(before,)] = warehouse.rows(PAGES)
    with closing(connect("loader")) as connection, closing(Sender()) as sender:
        sender.outbox.recover(connection)
        sender.look(connection, whole=False)
        while not sender.outbox.is_done:
            sender.outbox.wait(connection)
            sender.outbox.collect(connection)
        with connection, connection.cursor() as cursor:
            assert deliveries.undelivered(cursor).messages == 0
            # Counted in its own time otherwise.
            cursor.execute("select pg_stat_force_next_flush()")
    [(after,)] = warehouse.rows(PAGES)
    return int(after - before)


def test_a_round_reads_no_more_after_years_of_messages(alerts: Warehouse, hook: Receiver) -> None:
    tell(hook)
    # It reads pages too, whenever it likes.
    alerts.rows("alter table ops.alert_deliveries set (autovacuum_enabled = false)")
    pages = []
    # As many alerts as are told here, and as come together in years.
    for first, last, opened in ((10, 20, 30), (21, 8000, 20)):
        alerts.rows(HISTORY, first, last)
        alerts.rows("analyze ops.alert_deliveries, marts.spread_alerts_live")
        hook.received.clear()
        put(alerts, opened=opened)
        told = pages_of_a_round(alerts)
        alerts.rows(CLOSE, minutes_ago(opened - 5))
        told += pages_of_a_round(alerts)
        assert events(hook.received) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]
        pages.append(told)
    few, many = pages
    # The trees of the indexes are a level higher by then.
    assert few > 0
    assert many < 2 * few
