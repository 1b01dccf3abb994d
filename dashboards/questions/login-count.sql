/*
title: Login count
description: >-
  How many times a user logged in between two dates, both included; without
  a user, everybody who did.
display: table
data: logins
parameters:
  from:
    like: from_instant
    description: First day (reporting time zone) or instant counted.
  to:
    type: instant
    unset: the latest day with a login
    description: Last day (reporting time zone) or instant counted.
  user_id: {like: user, unset: all who logged in between the two}
*/
with

user_logins as not materialized (
    select * from marts.user_logins
),

latest as (
    select max(logged_in_at) as seen_at from user_logins
),

period as (
    select
        marts.first_instant(
            cast(:from as text),
            cast(:to as text),
            latest.seen_at,
            zones.reporting_timezone
        ) as first_instant,
        marts.last_instant(
            cast(:to as text), latest.seen_at, zones.reporting_timezone
        ) as last_instant
    from marts.reporting_settings as zones
    cross join latest
),

final as (
    select
        user_id,
        count(*) as logins
    from user_logins
    where
        logged_in_at >= (select period.first_instant from period)
        and logged_in_at <= (select period.last_instant from period)
        and (cast(:user_id as text) is null or user_id = :user_id)
    group by user_id
)

select * from final
order by user_id
