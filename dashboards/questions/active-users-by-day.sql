/*
title: Active users by day
description: >-
  How many users made a deposit or a withdrawal on each day; days without any
  have a row with 0.
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
last_day as (
    select
        coalesce(
            cast(:to as date), max(daily_active_users.activity_date)
        ) as last_date
    from daily_active_users
),

days as (
    select
        cast(
            generate_series(
                cast(
                    coalesce(cast(:from as date), last_day.last_date - 89)
                    as timestamp
                ),
                cast(last_day.last_date as timestamp),
                interval '1 day'
            )
            as date
        ) as day
    from last_day
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
