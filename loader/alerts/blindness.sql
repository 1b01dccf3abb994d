-- Who is told of a book: whoever is told of its alerts; of one that has no
-- threshold yet, whoever is told of any.
with

channels as (
    select
        thresholds.book,
        split.channel
    from marts.book_thresholds as thresholds
    cross join string_to_table(thresholds.channels, ',') as split (channel)
)

select
    states.book,
    states.is_blind,
    states.last_seen_at,
    states.blind_since,
    states.cause,
    coalesce(
        (
            select string_agg(distinct own.channel, ',')
            from channels as own
            where own.book = states.book
        ),
        (select string_agg(distinct every.channel, ',') from channels as every),
        ''
    ) as channels
from marts.book_states as states
order by states.book
