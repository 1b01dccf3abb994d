-- From when on an alert that has closed may still have something to be told.
-- With `unclosed`, also from the first one whose end nobody has heard of.
select
    clock_timestamp() as now,
    least(
        clock_timestamp() - %(oldest)s,
        (
            select min(waiting.opened_at)
            from ops.alert_deliveries as waiting
            where waiting.retry_at is not null
        ),
        (
            select min(unclosed.opened_at)
            from (
                select told.opened_at
                from ops.alert_deliveries as told
                where %(unclosed)s and told.status <> 'skipped'
                group by told.book, told.threshold_pct, told.opened_at
                having not bool_or(told.episode_event = 'closed')
            ) as unclosed
        )
    ) as since,
    (
        select min(later.retry_at)
        from ops.alert_deliveries as later
        where later.retry_at > clock_timestamp()
    ) as next_retry
