/*
title: Login count
description: >-
  How many times a user logged in between two dates, both included; without
  a user, everybody who did.
display: table
parameters:
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant counted.
  to:
    type: instant
    unset: the latest day with a login
    description: Last day (reporting time zone) or instant counted.
  user_id:
    type: text
    unset: all who logged in between the two
    description: One user.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

user_logins as not materialized (
    select * from marts.user_logins
),

latest as (
    select max(logged_in_at) as logged_in_at from user_logins
),

-- An instant is longer than a date, and is the last one counted itself.
period_end as (
    select
        reporting_settings.reporting_timezone,
        case
            when length(cast(:to as text)) > 10
                then cast(:to as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:to as date),
                        cast(
                            latest.logged_in_at
                            at time zone reporting_settings.reporting_timezone
                            as date
                        )
                    ) + 1 as timestamp
                ) at time zone reporting_settings.reporting_timezone
                - interval '1 microsecond'
        end as last_instant
    from reporting_settings
    cross join latest
),

period as (
    select
        last_instant,
        case
            when length(cast(:from as text)) > 10
                then cast(:from as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:from as date),
                        cast(
                            last_instant at time zone reporting_timezone
                            as date
                        ) - 6
                    ) as timestamp
                ) at time zone reporting_timezone
        end as first_instant
    from period_end
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
