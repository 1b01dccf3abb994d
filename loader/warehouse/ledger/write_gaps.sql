insert into ops.gaps (book, feed, gap_from, gap_until, cause, run_id, detail)
select
    gap.book,
    %(feed)s as feed,
    gap.gap_from,
    gap.gap_until,
    gap.cause,
    %(run_id)s as run_id,
    gap.detail
from
    unnest(
        cast(%(books)s as text[]),
        cast(%(since)s as timestamptz[]),
        cast(%(until)s as timestamptz[]),
        cast(%(causes)s as text[]),
        cast(%(details)s as text[])
    ) as gap (book, gap_from, gap_until, cause, detail)
on conflict (book, feed, gap_from) do update
    set gap_until = excluded.gap_until, detail = excluded.detail
