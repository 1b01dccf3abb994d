{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['book', 'window_start'],
        indexes=[{'columns': ['window_start']}],
        pre_hook=[
            "{{ lock_cuts(shared=true) }}",
            "{{ forget_replayed('window_start') }}",
        ],
        post_hook="{{ remember_progress('observation_coverage') }}",
    )
}}

{% do assert_remembered(
    "select 'the stream' as origin, min(window_start) as since from "
    ~ this ~ ' where observed > 0',
    "select 'the stream' as origin, "
    ~ window_of('min(received_at)') ~ ' as since from '
    ~ ref('stg_bitso__order_books') ~ " where channel = 'diff-orders'"
) %}

with

finished_runs as (

    select * from {{ ref('stg_pipeline__finished_runs') }}

),

-- A run whose seconds are not all known yet is no part of it.
monitored as (

    select * from {{ ref('stg_pipeline__monitored') }}
    where
        run_id in (select finished_runs.run_id from finished_runs)
        and monitored_from < monitored_until

),

gaps as (

    select * from {{ ref('stg_pipeline__gaps') }}
    where run_id in (select finished_runs.run_id from finished_runs)

),

samples as (

    select * from {{ ref('stg_bitso__order_books') }}
    where
        channel = 'diff-orders'
        and run_id in (select finished_runs.run_id from finished_runs)

),

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
        {% if is_replay() %}
            and monitored.monitored_until > timestamptz '{{ var('since') }}'
            and monitored.monitored_from < timestamptz '{{ var('until') }}'
        {% endif %}

),

-- Whatever lies outside is not even read.
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
        and monitored.monitored_from < (select bounds.bounds_until from bounds)

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

),

observed as (

    select
        samples.book,
        {{ window_of('samples.received_at') }} as window_start,
        count(*) as samples,
        count(distinct samples.received_at) as observed
    from samples
    where
        samples.received_at >= (select bounds.bounds_from from bounds)
        and samples.received_at < (select bounds.bounds_until from bounds)
    group by samples.book, window_start

),

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

),

windows_covered as (

    select
        ---------- ids
        expected.book,
        expected.window_start,

        ---------- strings
        missing.causes,

        ---------- numerics
        cast(expected.expected as integer) as expected,
        cast(coalesce(observed.observed, 0) as integer) as observed,
        cast(coalesce(observed.samples, 0) as integer) as samples,
        cast(coalesce(missing.missing, 0) as integer) as missing,
        cast(
            coalesce(extract(epoch from longest_gaps.longest_gap), 0)
            as integer
        ) as longest_gap_seconds
    from expected
    left join observed
        on
            expected.book = observed.book
            and expected.window_start = observed.window_start
    left join missing
        on
            expected.book = missing.book
            and expected.window_start = missing.window_start
    left join longest_gaps
        on
            expected.book = longest_gaps.book
            and expected.window_start = longest_gaps.window_start

)

select * from windows_covered
