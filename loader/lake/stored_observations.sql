select suspect.place
from unnest(
    cast(%(received_at)s as timestamptz []),
    cast(%(book)s as text []),
    cast(%(bid)s as numeric []),
    cast(%(ask)s as numeric [])
) with ordinality as suspect (received_at, book, bid, ask, place)
where
    exists (
        select from raw.spread_observations as stored
        where
            stored.received_at between %(since)s and %(until)s
            and stored.received_at = suspect.received_at
            and stored.book = suspect.book
            and stored.bid = suspect.bid
            and stored.ask = suspect.ask
    )
