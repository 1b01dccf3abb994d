/*
title: Active users by day
description: >-
  How many users made a deposit or a withdrawal on each day; days without any,
  between the first and the last with one, have a row with 0.
display: bar
data: activity
chart:
  x: day
  y: [active_users]
columns:
  day: {title: Day}
  active_users: {title: Active users}
parameters:
  from: {like: from_day, unset: 89 days before to}
  to: {like: to_day, unset: the latest day with a deposit or withdrawal}
  status: status
*/
with

daily_active_users as (
    select * from marts.daily_active_users
),

-- Whatever the status: the days do not change with it.
known_days as (
    select
        min(activity_date) as first_date,
        max(activity_date) as last_date,
        coalesce(cast(:to as date), max(activity_date)) as asked_date
    from daily_active_users
),

asked_days as (
    select
        greatest(
            coalesce(cast(:from as date), asked_date - 89), first_date
        ) as from_date,
        least(asked_date, last_date) as to_date
    from known_days
),

days as (
    select
        cast(
            generate_series(
                cast(from_date as timestamp),
                cast(to_date as timestamp),
                interval '1 day'
            )
            as date
        ) as day
    from asked_days
),

final as (
    select
        days.day,
        coalesce(daily_active_users.active_users, 0) as active_users
    from days
    left join daily_active_users
        on
            days.day = daily_active_users.activity_date
            and daily_active_users.status = :status
)

select * from final
order by day
