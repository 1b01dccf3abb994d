/*
title: Alerts by day
description: How many alerts of each threshold opened on each day.
display: bar
data: market
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

opened as (
    select
        spread_alerts.book,
        spread_alerts.threshold_pct,
        cast(
            spread_alerts.opened_at
            at time zone reporting_settings.reporting_timezone
            as date
        ) as day
    from marts.spread_alerts as spread_alerts
    cross join marts.reporting_settings as reporting_settings
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
    where
        cast(:book as text) is null
        or opened.book = (
            select named.book from marts.book_named(:book) as named
        )
    group by opened.day, opened.threshold_pct
)

select * from final
order by day, threshold
