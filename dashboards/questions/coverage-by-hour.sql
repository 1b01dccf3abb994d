/*
title: Coverage by hour
description: >-
  The share of the time to observe in each hour that was observed, a line for
  each book: 100 % of a calm hour was seen, 0 % of one in which nobody looked.
  Where nobody knows what was to be observed the line is broken.
display: line
data: market
chart:
  x: hour
  y: [coverage_pct]
  y_max: 100
  series: book
columns:
  hour: {title: Hour}
  coverage_pct: {title: Observed, unit: "%", decimals: 1}
parameters:
  book: any_book
  from: {like: from_day, unset: six days before the day of to}
  to:
    like: to_day
    unset: the latest day that was observed or should have been
*/
with

-- Of all books: the hours do not change with the one that is asked for.
hours as (
    select *
    from marts.hours_watched(
        null,
        cast(:from as text),
        cast(:to as text),
        with_first_hour => false
    )
),

final as (
    select
        hour,
        book,
        trim_scale(round(coverage * 100, 2)) as coverage_pct
    from hours
    where
        (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
        -- Where it is known of none, there is nothing to draw.
        and exists (
            select 1 from hours as known
            where known.coverage is not null
        )
)

select * from final
order by hour, book
