select suspect.place
from
    unnest(
        cast(%(received_at)s as timestamptz[]),
        cast(%(book)s as text[]),
        cast(%(bid)s as numeric[]),
        cast(%(ask)s as numeric[])
    ) with ordinality as suspect (received_at, book, bid, ask, place)
where
    exists (
        select from raw.spread_observations as known
        where
            known.received_at between %(since)s and %(until)s
            and known.received_at = suspect.received_at
            and known.book = suspect.book
            and known.bid = suspect.bid
            and known.ask = suspect.ask
    )
