/*
title: Active users
description: >-
  How many users made a deposit or a withdrawal on a day, users known only
  from a transaction included.
display: scalar
data: activity
parameters:
  day: {like: day, unset: the latest day with a deposit or withdrawal}
  status: status
*/
with

daily_active_users as (
    select * from marts.daily_active_users
),

-- Whatever the status: the day asked about does not change with it.
asked as (
    select
        coalesce(
            cast(:day as date), max(daily_active_users.activity_date)
        ) as activity_date
    from daily_active_users
),

final as (
    -- A day without any activity has no row: its sum over nothing is 0.
    select
        coalesce(
            cast(sum(daily_active_users.active_users) as bigint), 0
        ) as active_users
    from daily_active_users
    inner join asked
        on daily_active_users.activity_date = asked.activity_date
    where daily_active_users.status = :status
)

select * from final
