/*
title: Spread observations
description: >-
  What was seen of a book between two instants, both included: best bid, best
  ask and the spread in percent of the ask, from the best feed of each second.
display: table
columns:
  spread: {unit: "%", decimals: 6}
parameters:
  book:
    type: text
    default: btc_mxn
    description: The book, by any of its names.
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day with an observation of the book
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

spread_observations as not materialized (
    select * from marts.spread_observations
),

-- A name that nobody knows is asked for as it stands.
asked as (
    select
        coalesce(
            (
                select known.book from marts.book_names as known
                where known.book_name = lower(:book)
            ),
            lower(:book)
        ) as book
),

latest as (
    select max(orderbook_timestamp) as seen_at
    from spread_observations
    where book = (select asked.book from asked)
),

-- An instant is longer than a date, and is the last one itself.
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
                            latest.seen_at
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
        orderbook_timestamp,
        book,
        trim_scale(bid) as bid,
        trim_scale(ask) as ask,
        trim_scale(spread) as spread
    from spread_observations
    where
        book = (select asked.book from asked)
        and orderbook_timestamp >= (select period.first_instant from period)
        and orderbook_timestamp <= (select period.last_instant from period)
        and is_primary
)

select * from final
order by orderbook_timestamp, book, bid, ask
