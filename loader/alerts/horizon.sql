-- From when on an alert that has closed may still have something to be told.
-- With `whole`, also from the first one whose end nobody has heard of.
select
    clock_timestamp() as now,
    least(
        clock_timestamp() - %(oldest)s,
        (
            select min(waiting.opened_at)
            from ops.alert_deliveries as waiting
            where
                waiting.retry_at is not null
                and waiting.threshold_pct is not null
        ),
        (
            select min(unended.opened_at)
            from ops.alert_deliveries as unended
            where
                %(whole)s
                and unended.is_open
                and unended.threshold_pct is not null
        )
    ) as since,
    (
        select min(later.retry_at)
        from ops.alert_deliveries as later
        where later.retry_at > clock_timestamp()
    ) as next_retry
