select
    alerts.book,
    alerts.threshold_pct,
    alerts.opened_at,
    alerts.closed_at,
    alerts.last_observed_at,
    alerts.blind_at,
    alerts.close_reason,
    alerts.channels,
    alerts.opening_bid,
    alerts.opening_ask,
    alerts.opening_spread,
    alerts.peak_spread,
    alerts.observations
from marts.spread_alerts_live as alerts
where
    (alerts.closed_at is null or alerts.closed_at >= %(since)s)
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.opened_at = alerts.opened_at
            and known.status = 'skipped'
    )
