with

asked as (

    select
        from_text,
        to_text

),

-- As a value: it is named more than once.
latest as materialized (

    select
        greatest(
            (select max(opened_at) from {{ ref('alert_messages') }}),
            (select max(opened_at) from {{ ref('spread_alerts') }})
        ) as seen_at

),

period as materialized (

    select period.*
    from asked
    cross join latest
    cross join
        lateral {{ function('period_up_to') }}(
            asked.from_text, asked.to_text, latest.seen_at
        ) as period

),

-- How late, and of how short an alert, is known of those that tell of one that
-- has opened.
messages as (

    select
        told.*,
        case
            when told.episode_event = 'opened'
                then extract(epoch from told.told_at - told.opened_at)
        end as seconds,
        extract(epoch from alerts.closed_at - alerts.opened_at) as open_seconds
    from {{ ref('alert_messages') }} as told
    left join {{ ref('spread_alerts') }} as alerts
        on
            told.book = alerts.book
            and told.threshold_pct = alerts.threshold_pct
            and told.opened_at = alerts.opened_at
            and told.episode_event = 'opened'
    where
        told.opened_at >= (select period.first_instant from period)
        and told.opened_at <= (select period.last_instant from period)

),

-- Also those that were never to be told anything.
channels as (

    select split.channel
    from {{ ref('book_thresholds') }} as thresholds
    cross join string_to_table(thresholds.channels, ',') as split (channel)
    union distinct
    select messages.channel
    from messages

)

select
    channels.channel,
    count(messages.channel) as messages,
    count(messages.told_at) as delivered,
    count(*) filter (where messages.times_told > 1) as repeated,
    count(*) filter (
        where messages.told_at is null and messages.last_status <> 'skipped'
    ) as failed,
    count(*) filter (
        where messages.told_at is null and messages.last_status = 'skipped'
    ) as skipped,
    trim_scale(
        percentile_disc(0.5) within group (order by messages.seconds)
    ) as median_seconds,
    trim_scale(
        percentile_disc(0.99) within group (order by messages.seconds)
    ) as p99_seconds,
    trim_scale(min(messages.open_seconds)) as shortest_alert_seconds
from channels
left join messages
    on channels.channel = messages.channel
group by channels.channel
