{#
    How many seconds of each window are missing and why, and its longest gap.
    CTEs `missing` and `longest_gaps`, from CTEs `gaps` and `bounds`.
#}
{% macro windows_missing() %}
    missing_parts as (

        select
            gaps.book,
            windows.window_start,
            gaps.cause,
            greatest(gaps.gap_from, windows.window_start) as part_from,
            {{ seconds_in_window('gaps.gap_from', 'gaps.gap_until') }} as seconds
        from gaps
        cross join
            lateral {{ windows_of(
                'gaps.gap_from', 'gaps.gap_until'
            ) }} as windows (window_start)
        where
            gaps.gap_until > (select bounds.bounds_from from bounds)
            and gaps.gap_from < (select bounds.bounds_until from bounds)

    ),

    missing as (

        select
            missing_parts.book,
            missing_parts.window_start,
            sum(missing_parts.seconds) as missing,
            string_agg(
                distinct missing_parts.cause, ', ' order by missing_parts.cause
            ) as causes
        from missing_parts
        group by missing_parts.book, missing_parts.window_start

    ),

    -- What one run left open the next one goes on with: one gap, however many
    -- rows and causes it has.
    whole_gaps as (

        select
            missing_parts.book,
            missing_parts.window_start,
            unnest(range_agg(tstzrange(
                missing_parts.part_from,
                missing_parts.part_from
                + missing_parts.seconds * interval '1 second'
            ))) as whole_gap
        from missing_parts
        group by missing_parts.book, missing_parts.window_start

    ),

    longest_gaps as (

        select
            whole_gaps.book,
            whole_gaps.window_start,
            max(
                upper(whole_gaps.whole_gap) - lower(whole_gaps.whole_gap)
            ) as longest_gap
        from whole_gaps
        group by whole_gaps.book, whole_gaps.window_start

    )
{% endmacro %}
