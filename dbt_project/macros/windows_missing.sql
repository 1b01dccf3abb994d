{#
    How many seconds of each window are missing and why, and its longest gap.
    CTE `missing`, from those of windows_watched and a CTE `gaps`.

    What a poll did not bring, another poll may have brought. What a recording
    has no record of, it has missed: nobody else could say so.
#}
{% macro windows_missing() %}
    bounds as (

        select
            min(touched_windows.window_start) as bounds_from,
            max(touched_windows.window_start)
            + interval '10 minutes' as bounds_until
        from touched_windows

    ),

    gaps_of_windows as (

        select
            gaps.book,
            gaps.feed,
            gaps.cause,
            windows.window_start,
            {{ part_in_window(
                'gaps.gap_from', 'gaps.gap_until', 'windows.window_start'
            ) }} as part
        from gaps
        cross join
            lateral {{ windows_of(
                'gaps.gap_from', 'gaps.gap_until'
            ) }} as windows (window_start)
        where
            gaps.gap_until > (select bounds.bounds_from from bounds)
            and gaps.gap_from < (select bounds.bounds_until from bounds)

    ),

    missing_parts as (

        select
            paces.book,
            paces.window_start,
            gaps_of_windows.cause,
            (tstzmultirange(gaps_of_windows.part) - paces.polled)
            * paces.expected as missed
        from paces
        inner join watched_parts
            on
                paces.book = watched_parts.book
                and paces.window_start = watched_parts.window_start
                and paces.interval_seconds = watched_parts.interval_seconds
        inner join gaps_of_windows
            on
                watched_parts.book = gaps_of_windows.book
                and watched_parts.window_start = gaps_of_windows.window_start
                and watched_parts.feed = gaps_of_windows.feed
        union all
        select
            paces.book,
            paces.window_start,
            'not_recorded' as cause,
            (paces.expected - paces.watched_live) - paces.seen as missed
        from paces

    ),

    -- What one run left open the next one goes on with: one gap, however many
    -- rows and causes it has.
    whole_gaps as (

        select
            missing_parts.book,
            missing_parts.window_start,
            range_agg(missing_parts.missed) as missed,
            string_agg(
                distinct missing_parts.cause, ', ' order by missing_parts.cause
            ) as causes
        from missing_parts
        where not isempty(missing_parts.missed)
        group by missing_parts.book, missing_parts.window_start

    ),

    missing as (

        select
            whole_gaps.book,
            whole_gaps.window_start,
            whole_gaps.causes,
            {{ seconds_of('whole_gaps.missed') }} as missing,
            (
                select
                    extract(epoch from max(
                        upper(part.stretch) - lower(part.stretch)
                    ))
                from unnest(whole_gaps.missed) as part (stretch)
            ) as longest_gap_seconds
        from whole_gaps

    )
{% endmacro %}
