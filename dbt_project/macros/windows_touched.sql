{#
    The windows that a model has to count anew: those in which time was
    watched, or a book was seen, that it has not taken in yet. CTE
    `touched_windows`, from those of feeds_watching.
#}
{% macro windows_touched(model_name, settings="''") %}
    touched_windows as (

        {{ windows_with_news(model_name, settings)
            if is_incremental() and not is_replay() else windows_watched_ever() }}

    )
{% endmacro %}


{# Of all time; in a replay, of its time. #}
{% macro windows_watched_ever() %}
    select distinct
        books.book,
        windows.window_start
    from watched_time
    cross join lateral unnest(watched_time.books) as books (book)
    cross join
        lateral {{ windows_of(
            'watched_time.monitored_from', 'watched_time.monitored_until'
        ) }} as windows (window_start)
    where {{ is_replayed('windows.window_start') if is_replay() else 'true' }}
{% endmacro %}


{# A slot that is no part of a window may reach into its neighbours. #}
{% macro windows_with_news(model_name, settings) %}
    select
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
            'monitored.run_id', model_name, 'window_start', settings
        ) }}
    union distinct
    select
        new_sights.book,
        windows.window_start
    from (
        select distinct
            sights.book,
            sights.feed,
            {{ window_of('sights.received_at') }} as window_start
        from sights
        where
            {{ is_pending(
                'sights.run_id', model_name, 'window_start', settings
            ) }}
    ) as new_sights
    inner join watched_time
        on
            new_sights.book = any(watched_time.books)
            and new_sights.feed = watched_time.feed
            and new_sights.window_start < watched_time.monitored_until
            and new_sights.window_start + interval '10 minutes'
            > watched_time.monitored_from
    cross join
        lateral {{ windows_of(
            'new_sights.window_start - '
            ~ beyond_window('watched_time.interval_seconds'),
            "new_sights.window_start + interval '10 minutes' + "
            ~ beyond_window('watched_time.interval_seconds')
        ) }} as windows (window_start)
{% endmacro %}
