/*
title: Spread now
description: >-
  Each watched book this moment, calm, above a threshold, blind (not seen, or
  crossed, which is no market to rely on: the spread is negative) or unwatched
  (it has no threshold, and no alert can open): its spread, how old that is, and
  what is usual (median, 95 and 99 of 100 in the last 24 whole hours, exact to
  0.0005 %); the highest threshold that it is above, and since when; when
  somebody was last told of it, and until when nobody is.
display: table
data: live
columns:
  state: {warn: {operator: "!=", value: calm}}
  spread: {unit: "%", decimals: 3}
  age_seconds: {title: Age, unit: s}
  median_24h: {title: Usual, unit: "%", decimals: 3}
  p95_24h: {title: 95 of 100 below, unit: "%", decimals: 3}
  p99_24h: {title: 99 of 100 below, unit: "%", decimals: 3}
  above_pct: {title: Above, unit: "%"}
  open_since: {title: Since}
  last_told_at: {title: Last told}
parameters:
  book: {like: any_book, unset: all that are watched}
  as_of:
    type: instant
    unset: now
    description: >-
      Another moment; of a day, its end (reporting time zone); none to come.
*/
with

states as (
    select * from marts.states_at(cast(:as_of as text))
    where
        cast(:book as text) is null
        or book = (select named.book from marts.book_named(:book) as named)
),

final as (
    select
        book,
        state,
        bid,
        ask,
        spread,
        observed_at,
        age_seconds,
        median_24h,
        p95_24h,
        p99_24h,
        above_pct,
        open_since,
        last_told_at,
        muted_until
    from states
)

select * from final
order by
    array_position(array['blind', 'above', 'unwatched', 'calm'], state), book
