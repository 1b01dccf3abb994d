-- The one rule of the plan that is for all of history: what is old, and of
-- which nobody was ever told. While a book is muted, nothing of it gets older.
select
    alerts.book,
    alerts.threshold_pct,
    alerts.opened_at,
    channels.channel,
    coalesce(alerts.closed_at, alerts.last_observed_at) as seen_until
from marts.spread_alerts_live as alerts
cross join string_to_table(alerts.channels, ',') as channels (channel)
where
    alerts.opened_at < clock_timestamp() - %(oldest)s
    and (alerts.closed_at is null or alerts.closed_at >= %(since)s)
    and not exists (
        select from ops.alert_mutes as mutes
        where
            (mutes.book is null or mutes.book = alerts.book)
            and mutes.muted_until >= clock_timestamp() - %(oldest)s
            and mutes.muted_until > alerts.opened_at
            and mutes.muted_from < coalesce(alerts.closed_at, 'infinity')
    )
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.opened_at = alerts.opened_at
            and known.status = 'skipped'
    )
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.status <> 'skipped'
            and known.seen_until > alerts.opened_at
            and known.opened_at < coalesce(
                alerts.closed_at,
                alerts.last_observed_at + interval '1 microsecond'
            )
    )
