select suspect.place
from
    unnest(
        cast(%(instants)s as timestamptz[]),
        cast(%(keys)s as text[]),
        cast(%(payloads)s as text[])
    ) with ordinality as suspect (received_at, key, payload, place)
where
    exists (
        select from {raw_table} as known
        where
            known.received_at = suspect.received_at
            and known.{raw_key} = suspect.key
            and known.payload = cast(suspect.payload as jsonb)
            and {is_of_channel}
    )
