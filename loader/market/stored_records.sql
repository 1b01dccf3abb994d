select suspect.place
from unnest(
    cast(%(instants)s as timestamptz []),
    cast(%(keys)s as text []),
    cast(%(payloads)s as text [])
) with ordinality as suspect (received_at, key, payload, place)
where
    exists (
        select from {raw_table} as stored
        where
            stored.received_at = suspect.received_at
            and stored.{raw_key} = suspect.key
            and stored.payload = cast(suspect.payload as jsonb)
            and {is_of_channel}
    )
