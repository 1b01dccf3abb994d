-- The quote that an alert closed with: modelled, or as it came in since. The
-- spread as the models round it, and the limit that it had to fall below.
with

quotes as (
    select
        seen.bid,
        seen.ask,
        0 as place
    from marts.spread_observations as seen
    where
        seen.book = %(book)s
        and seen.orderbook_timestamp = %(at)s
        and seen.is_primary
    union all
    select
        samples.bid,
        samples.ask,
        1 as place
    from raw.bitso_order_books as samples
    where samples.book = %(book)s and samples.received_at = %(at)s
    union all
    select
        tickers.bid,
        tickers.ask,
        2 as place
    from raw.bitso_tickers as tickers
    where tickers.book = %(book)s and tickers.received_at = %(at)s
),

quote as (
    select
        quotes.bid,
        quotes.ask,
        round((quotes.ask - quotes.bid) * 100 / quotes.ask, 12) as spread
    from quotes
    where quotes.bid > 0 and quotes.ask > 0
    order by quotes.place asc, spread desc
    limit 1
),

threshold as (
    select thresholds.close_below_pct
    from marts.book_thresholds as thresholds
    where
        thresholds.book = %(book)s
        and thresholds.threshold_pct = %(threshold)s
)

select
    quote.bid,
    quote.ask,
    quote.spread,
    threshold.close_below_pct
from quote
full join threshold on true
