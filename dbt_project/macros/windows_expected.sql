{#
    The windows that observation_coverage has to count anew, and how many
    seconds of each the stream was to observe. CTEs `bounds`, whatever lies
    outside of which is not even read, and `expected`, from a CTE `monitored`.
#}
{% macro windows_expected() %}
    touched_windows as (

        select distinct
            books.book,
            windows.window_start
        from monitored
        cross join lateral unnest(monitored.books) as books (book)
        cross join
            lateral {{ windows_of(
                'monitored.monitored_from', 'monitored.monitored_until'
            ) }} as windows (window_start)
        where
            {{ is_pending(
                'monitored.run_id',
                'observation_coverage',
                'windows.window_start'
            ) }}

    ),

    bounds as (

        select
            min(touched_windows.window_start) as bounds_from,
            max(touched_windows.window_start)
            + interval '10 minutes' as bounds_until
        from touched_windows

    ),

    expected_parts as (

        select
            books.book,
            windows.window_start,
            {{ seconds_in_window(
                'monitored.monitored_from', 'monitored.monitored_until'
            ) }} as seconds
        from monitored
        cross join lateral unnest(monitored.books) as books (book)
        cross join
            lateral {{ windows_of(
                'monitored.monitored_from', 'monitored.monitored_until'
            ) }} as windows (window_start)
        where
            monitored.monitored_until > (select bounds.bounds_from from bounds)
            and monitored.monitored_from
            < (select bounds.bounds_until from bounds)

    ),

    expected as (

        select
            touched_windows.book,
            touched_windows.window_start,
            sum(expected_parts.seconds) as expected
        from touched_windows
        inner join expected_parts
            on
                touched_windows.book = expected_parts.book
                and touched_windows.window_start = expected_parts.window_start
        group by touched_windows.book, touched_windows.window_start

    )
{% endmacro %}
