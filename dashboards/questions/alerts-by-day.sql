/*
title: Alerts by day
description: >-
  How many times on each day the spread of a book rose above its thresholds,
  each time once, by the highest threshold that it reached before all of its
  alerts were over. The lower ones are inside.
display: bar
data: market
calm_over_days: 30
chart:
  x: day
  y: [alerts]
  series: threshold
  stacked: true
columns:
  day: {title: Day}
parameters:
  book: any_book
  from: {like: from_day, unset: 29 days before to}
  to: {like: to_day, unset: the latest day on which one opened}
*/
with

spread_alerts as (
    select * from marts.spread_alerts
),

alerts as (
    select
        book,
        threshold_pct,
        opened_at,
        coalesce(
            opened_at >= max(coalesce(closed_at, 'infinity')) over (
                partition by book
                order by opened_at, threshold_pct
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_first
    from spread_alerts
    where
        cast(:book as text) is null
        or book = (select named.book from marts.book_named(:book) as named)
),

numbered as (
    select
        *,
        count(*) filter (where is_first) over (
            partition by book order by opened_at, threshold_pct
        ) as episode
    from alerts
),

opened as (
    select
        cast(
            min(numbered.opened_at) at time zone zones.reporting_timezone
            as date
        ) as day,
        max(numbered.threshold_pct) as threshold_pct
    from numbered
    cross join marts.reporting_settings as zones
    group by numbered.book, numbered.episode, zones.reporting_timezone
),

last_day as (
    select coalesce(cast(:to as date), max(opened.day)) as last_date
    from opened
),

final as (
    select
        opened.day,
        cast(trim_scale(opened.threshold_pct) as text) || ' %' as threshold,
        count(*) as alerts
    from opened
    inner join last_day
        on
            opened.day <= last_day.last_date
            and opened.day
            >= coalesce(cast(:from as date), last_day.last_date - 29)
    group by opened.day, opened.threshold_pct
)

select * from final
order by day, threshold
