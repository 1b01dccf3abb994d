-- An end that is settled ends all that was told before it of its book and
-- threshold.
update ops.alert_deliveries as opening
set is_open = false, retry_at = null
where
    opening.is_open
    and exists (
        select from ops.alert_deliveries as ended
        where
            ended.book = opening.book
            and ended.threshold_pct is not distinct from opening.threshold_pct
            and ended.opened_at >= opening.opened_at
            and ended.episode_event in ('closed', 'withdrawn', 'seen')
            and ended.channel = opening.channel
            and ended.address = opening.address
            and ended.status in ('sent', 'failed', 'unknown')
            and ended.retry_at is null
            and not exists (
                select from ops.alert_deliveries as later
                where
                    later.book = ended.book
                    and later.threshold_pct
                    is not distinct from ended.threshold_pct
                    and later.opened_at = ended.opened_at
                    and later.episode_event = ended.episode_event
                    and later.channel = ended.channel
                    and later.address = ended.address
                    and later.attempt > ended.attempt
            )
    )
