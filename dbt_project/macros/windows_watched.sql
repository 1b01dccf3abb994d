{#
    What of each window was to be seen, and was seen: CTEs `watched_parts`, by
    feed, and `paces`, by interval, from those of windows_touched.

    A second belongs to the fastest feed that was to see the book in it. Time is
    counted in slots, as long as the interval of the feed and cut at its whole
    multiples since 1970: seen in a slot is seen for all of it. Feeds of one
    pace stand in for each other.
#}
{% macro windows_watched() %}
    watched_parts as (

        select
            touched_windows.book,
            touched_windows.window_start,
            watched_time.feed,
            watched_time.interval_seconds,
            range_agg({{ part_in_window(
                'watched_time.monitored_from',
                'watched_time.monitored_until',
                'touched_windows.window_start'
            ) }}) as watched,
            range_agg({{ part_in_window(
                'watched_time.monitored_from',
                'watched_time.monitored_until',
                'touched_windows.window_start'
            ) }}) filter (where not watched_time.is_recorded) as watched_live
        from touched_windows
        inner join watched_time
            on
                touched_windows.book = any(watched_time.books)
                and touched_windows.window_start < watched_time.monitored_until
                and touched_windows.window_start + interval '10 minutes'
                > watched_time.monitored_from
        group by
            touched_windows.book,
            touched_windows.window_start,
            watched_time.feed,
            watched_time.interval_seconds

    ),

    seen_parts as (

        select
            watched_parts.*,
            seen_slots.seen,
            case
                when watched_parts.feed = 'stream' then seen_slots.repeated
                else 0
            end as repeated
        from watched_parts
        cross join
            lateral (
                select
                    range_agg(tstzrange(
                        slots.slot_start,
                        slots.slot_start
                        + watched_parts.interval_seconds * interval '1 second'
                    )) as seen,
                    coalesce(sum(slots.sights), 0) - count(*) as repeated
                from (
                    select
                        {{ slot_of(
                            'sights.received_at',
                            'watched_parts.interval_seconds'
                        ) }} as slot_start,
                        count(*) as sights
                    from sights
                    where
                        sights.book = watched_parts.book
                        and sights.feed = watched_parts.feed
                        and sights.received_at >= {{ slot_of(
                            'watched_parts.window_start',
                            'watched_parts.interval_seconds'
                        ) }}
                        and sights.received_at < {{ slot_of(
                            "watched_parts.window_start + interval '599 seconds'",
                            'watched_parts.interval_seconds'
                        ) }}
                        + watched_parts.interval_seconds * interval '1 second'
                    group by slot_start
                ) as slots
            ) as seen_slots

    ),

    feeds_of_paces as (

        select
            seen_parts.book,
            seen_parts.window_start,
            seen_parts.interval_seconds,
            range_agg(seen_parts.watched) as watched,
            {{ or_no_time('range_agg(seen_parts.watched_live)') }}
                as watched_live,
            {{ or_no_time('range_agg(seen_parts.seen)') }} as seen,
            {{ or_no_time(
                "range_agg(seen_parts.seen) "
                "filter (where seen_parts.feed <> 'stream')"
            ) }} as polled,
            sum(seen_parts.repeated) as repeated
        from seen_parts
        group by
            seen_parts.book, seen_parts.window_start, seen_parts.interval_seconds

    ),

    paces as (

        select
            feeds_of_paces.*,
            feeds_of_paces.watched - {{ or_no_time(
                "range_agg(feeds_of_paces.watched) over faster"
            ) }} as expected
        from feeds_of_paces
        window
            faster as (
                partition by feeds_of_paces.book, feeds_of_paces.window_start
                order by feeds_of_paces.interval_seconds
                rows between unbounded preceding and 1 preceding
            )

    )
{% endmacro %}
