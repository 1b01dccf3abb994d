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
        {% if is_replay() %}
            and monitored_until > timestamptz '{{ var('since') }}'
            and monitored_from < timestamptz '{{ var('until') }}'
        {% endif %}

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

{{ windows_expected() }},

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

{{ windows_missing() }},

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
