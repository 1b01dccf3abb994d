/*
title: Users with many deposits
description: >-
  The users that made more than a number of deposits, up to and including a
  day or on that day alone.
display: table
parameters:
  day:
    type: date
    unset: the latest day with a deposit
    description: The day, in the reporting time zone.
  more_than:
    type: integer
    minimum: 0
    default: 5
    description: Users with more deposits than this, not with as many.
  status:
    type: text
    choices: [complete, any]
    default: complete
    description: Count complete deposits only, or any.
  counting:
    type: text
    choices: [to_date, on_day]
    default: to_date
    description: Count all deposits up to and including the day, or its own.
*/
with

daily_currency_flows as (
    select * from marts.daily_currency_flows
),

-- Not materialised: each branch below reads it through an index of its own.
user_deposit_history as not materialized (
    select * from marts.user_deposit_history
),

latest as (
    select max(flow_date) as flow_date
    from daily_currency_flows
    where kind = 'deposit'
),

asked as (
    select
        coalesce(cast(:day as date), latest.flow_date) as flow_date,
        -- true: nobody can have a later deposit
        coalesce(cast(:day as date) >= latest.flow_date, true) as is_latest
    from latest
),

-- Whoever made no deposit after the day: the total is the answer, and the
-- covering index alone has it.
finished as (
    select
        user_id,
        deposits
    from user_deposit_history
    where
        :counting = 'to_date'
        and status = :status
        and deposits > :more_than
        and last_deposit_date <= (select asked.flow_date from asked)
    order by user_id
),

-- Whoever did: a binary search in the sorted dates counts up to the day.
-- The whole branch is skipped when the day is the latest.
unfinished as (
    select
        user_id,
        cast(
            width_bucket((select asked.flow_date from asked), deposit_dates)
            as bigint
        ) as deposits
    from user_deposit_history
    where
        :counting = 'to_date'
        and not (select asked.is_latest from asked)
        and status = :status
        and deposits > :more_than
        and last_deposit_date > (select asked.flow_date from asked)
        and width_bucket(
            (select asked.flow_date from asked), deposit_dates
        ) > :more_than
    order by user_id
),

on_day as (
    select
        user_id,
        cast(
            width_bucket((select asked.flow_date from asked), deposit_dates)
            - width_bucket(
                (select asked.flow_date from asked) - 1, deposit_dates
            ) as bigint
        ) as deposits
    from user_deposit_history
    where
        :counting = 'on_day'
        and status = :status
        and deposits > :more_than
        and deposit_dates @> array[(select asked.flow_date from asked)]
        and width_bucket((select asked.flow_date from asked), deposit_dates)
        - width_bucket(
            (select asked.flow_date from asked) - 1, deposit_dates
        ) > :more_than
    order by user_id
),

unioned as (
    select * from finished
    union all
    select * from unfinished
    union all
    select * from on_day
),

final as (
    select
        user_id,
        deposits
    from unioned
)

select * from final
order by user_id
