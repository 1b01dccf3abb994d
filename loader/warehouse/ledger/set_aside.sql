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
    %(run_id)s as run_id,
    %(source)s as source,
    bad.received_at,
    bad.location,
    bad.line_number,
    bad.reason_code,
    bad.reason,
    bad.raw
from
    unnest(
        cast(%(instants)s as timestamptz[]),
        cast(%(locations)s as text[]),
        cast(%(lines)s as bigint[]),
        cast(%(codes)s as text[]),
        cast(%(reasons)s as text[]),
        cast(%(raws)s as text[])
    ) as bad (received_at, location, line_number, reason_code, reason, raw)
where
    not %(once)s
    -- Two questions, for each has an index of its own.
    or not exists (
        select from ops.quarantine as known
        where
            bad.received_at is not null
            and known.source = %(source)s
            and known.received_at = bad.received_at
            and known.location = bad.location
            and known.raw = bad.raw
    )
    and not exists (
        select from ops.quarantine as known
        where
            bad.received_at is null
            and known.source = %(source)s
            and known.received_at is null
            and known.location = bad.location
            and known.raw = bad.raw
    )
