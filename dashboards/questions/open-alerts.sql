/*
title: Open alerts
description: >-
  The episodes that are open this moment, with what came in since the last run
  of the models: since when, how far above, when the book was last seen, and
  until when nobody is told of it.
display: table
data: live
columns:
  threshold_pct: {title: Threshold, unit: "%"}
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
        blind_at,
        (
            select max(muted.muted_until)
            from muted
            where muted.book in (chosen.book, 'all')
        ) as muted_until
    from chosen
)

select * from final
order by book, threshold_pct
