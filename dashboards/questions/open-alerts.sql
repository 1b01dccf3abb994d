/*
title: Open alerts
description: >-
  The episodes that are open this moment, with what came in since the last run
  of the models: since when, how far above, and when the book was last seen.
display: table
columns:
  threshold_pct: {title: Threshold, unit: "%"}
  peak_spread: {title: Largest spread, unit: "%", decimals: 3}
  blind_at: {title: Nothing seen after}
parameters:
  book: any_book
*/
with

spread_alerts_live as not materialized (
    select * from marts.spread_alerts_live
),

chosen as (
    select
        book,
        opened_at,
        last_observed_at,
        blind_at,
        trim_scale(threshold_pct) as threshold_pct,
        trim_scale(peak_spread) as peak_spread
    from spread_alerts_live
    where
        closed_at is null
        and (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
),

final as (
    select
        book,
        threshold_pct,
        opened_at,
        peak_spread,
        last_observed_at,
        blind_at
    from chosen
)

select * from final
order by book, threshold_pct
