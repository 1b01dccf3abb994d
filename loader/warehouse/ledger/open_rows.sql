-- The next rows in quarantine, as many as %(bytes)s hold, at least one.
select
    quarantine_id,
    run_id,
    source,
    location,
    line_number,
    reason_code,
    reason,
    raw,
    received_at
from (
    select
        *,
        sum(octet_length(raw)) over (order by quarantine_id)
        - octet_length(raw) as bytes_before
    from (
        select *
        from ops.quarantine
        where
            redriven_by is null
            and quarantine_id > %(after)s
            and (%(ids)s is null or quarantine_id = any(%(ids)s))
        order by quarantine_id
        limit %(rows)s
    ) as next_rows
) as sized
where bytes_before < %(bytes)s
order by quarantine_id
