/*
title: Open alerts
description: >-
  The books that are above a threshold this moment, with what came in since the
  last run of the models: the highest threshold, since when, the lower ones
  that it is above as well, and since when the first of all; how far above,
  when the book was last seen, and until when nobody is told of it.
display: table
data: live
calm_over_days: 0
columns:
  threshold_pct: {title: Above, unit: "%"}
  lower_pct: {title: And above, unit: "%"}
  first_opened_at: {title: Above the first since}
  peak_spread: {title: Largest spread, unit: "%", decimals: 3}
  blind_at: {title: Nothing seen after}
  muted_until: {title: Muted until}
parameters:
  book: any_book
*/
with

spread_alerts_live as not materialized (
    select * from marts.spread_alerts_live
),

muted as (
    select
        book,
        muted_until
    from marts.muted_books
),

-- Thresholds contain each other: the highest says the most.
levels as (
    select
        book,
        opened_at,
        last_observed_at,
        blind_at,
        trim_scale(threshold_pct) as threshold_pct,
        trim_scale(max(peak_spread) over of_book) as peak_spread,
        min(opened_at) over of_book as first_opened_at,
        string_agg(cast(trim_scale(threshold_pct) as text), ', ')
            over lower_ones as lower_pct,
        row_number() over (
            partition by book order by threshold_pct desc
        ) as place
    from spread_alerts_live
    where
        closed_at is null
        and (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
    window
        of_book as (partition by book),
        lower_ones as (
            partition by book order by threshold_pct
            rows between unbounded preceding and 1 preceding
        )
),

final as (
    select
        book,
        threshold_pct,
        opened_at,
        lower_pct,
        first_opened_at,
        peak_spread,
        last_observed_at,
        blind_at,
        (
            select max(muted.muted_until)
            from muted
            where muted.book in (levels.book, 'all')
        ) as muted_until
    from levels
    where place = 1
)

select * from final
order by book
