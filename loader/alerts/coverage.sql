-- Of ten minutes where the stream watched the book, else of an hour.
(
    select
        window_start as since,
        '10 minutes' as span,
        cast(observed as numeric) / expected as observed_share
    from marts.observation_coverage
    where book = %(book)s and window_start <= %(until)s
    order by window_start desc
    limit 1
)
union all
(
    select
        hour as since,
        'hour' as span,
        coverage as observed_share
    from marts.spread_hourly
    where
        book = %(book)s
        and threshold_pct = %(threshold)s
        and hour <= %(until)s
    order by hour desc
    limit 1
)
order by since desc, span asc
limit 1
