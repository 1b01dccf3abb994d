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
        min(activity_date) as first_day,
        max(activity_date) as last_day
    from daily_active_users
),

days as (
    select known.known_day as day
    from known_days
    cross join
        lateral marts.days_known(
            cast(:from as date),
            cast(:to as date),
            known_days.first_day,
            known_days.last_day
        ) as known
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
