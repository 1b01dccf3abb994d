insert into ops.quarantine (
    run_id,
    source,
    received_at,
    location,
    line_number,
    reason_code,
    reason,
    raw
)
select
    %(run_id)s,
    %(source)s,
    bad.received_at,
    bad.location,
    bad.line_number,
    bad.reason_code,
    bad.reason,
    bad.raw
from unnest(
    cast(%(instants)s as timestamptz []),
    cast(%(locations)s as text []),
    cast(%(lines)s as bigint []),
    cast(%(codes)s as text []),
    cast(%(reasons)s as text []),
    cast(%(raws)s as text [])
) as bad (received_at, location, line_number, reason_code, reason, raw)
where
    not %(once)s
    -- Two questions, for each has an index of its own.
    or not exists (
        select from ops.quarantine as stored
        where
            bad.received_at is not null
            and stored.source = %(source)s
            and stored.received_at = bad.received_at
            and stored.location = bad.location
            and stored.raw = bad.raw
    )
    and not exists (
        select from ops.quarantine as stored
        where
            bad.received_at is null
            and stored.source = %(source)s
            and stored.received_at is null
            and stored.location = bad.location
            and stored.raw = bad.raw
    )
