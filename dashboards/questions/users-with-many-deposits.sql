/*
title: Users with many deposits
description: >-
  The users with more than a number of deposits, up to a day or on it alone.
display: table
data: transactions
parameters:
  day: {like: day, unset: the latest day with a deposit}
  more_than:
    type: integer
    minimum: 0
    default: 5
    description: Users with more deposits than this, not with as many.
  status: status_of_deposits
  counting:
    type: text
    choices: [to_date, on_day]
    default: to_date
    description: Count all up to and including the day, or its own.
*/
with

asked as (
    select
        coalesce(cast(:day as date), max(flow_date)) as day,
        coalesce(cast(:day as date) < max(flow_date), false) as is_earlier
    from marts.daily_currency_flows
    where kind = 'deposit'
),

-- Not materialised: each branch below reads it through an index of its own. A
-- binary search in the sorted dates counts up to the day, and to its eve.
histories as not materialized (
    select
        *,
        width_bucket((select asked.day from asked), deposit_dates) as to_date,
        width_bucket((select asked.day from asked) - 1, deposit_dates) as to_eve
    from marts.user_deposit_history
    where status = :status and deposits > :more_than
),

-- No deposit after the day: the total, which the covering index alone has.
finished as (
    select
        user_id,
        deposits
    from histories
    where
        :counting = 'to_date'
        and last_deposit_date <= (select asked.day from asked)
    order by user_id
),

-- Deposits after the day: skipped as a whole where nobody can have any.
unfinished as (
    select
        user_id,
        cast(to_date as bigint) as deposits
    from histories
    where
        :counting = 'to_date'
        and (select asked.is_earlier from asked)
        and last_deposit_date > (select asked.day from asked)
        and to_date > :more_than
    order by user_id
),

on_day as (
    select
        user_id,
        cast(to_date - to_eve as bigint) as deposits
    from histories
    where
        :counting = 'on_day'
        and deposit_dates @> array[(select asked.day from asked)]
        and to_date - to_eve > :more_than
    order by user_id
),

final as (
    select * from finished
    union all
    select * from unfinished
    union all
    select * from on_day
)

select * from final
order by user_id
