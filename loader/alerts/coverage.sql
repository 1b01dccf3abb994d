-- Of the last ten minutes that are over in which somebody was to watch the
-- book, if that is not so long ago that it says nothing of now.
select
    window_start as since,
    '10 minutes' as span,
    cast(observed as numeric) / expected as observed_share
from marts.observation_coverage
where
    book = %(book)s
    and window_start <= %(until)s
    and window_start <= now() - interval '10 minutes'
    and window_start > cast(%(until)s as timestamptz) - interval '1 day'
order by window_start desc
limit 1
