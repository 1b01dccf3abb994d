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
    "select 'the feeds' as origin, min(window_start) as since from "
    ~ this ~ ' where observed > 0',
    "select 'the feeds' as origin, "
    ~ window_of('min(received_at)') ~ ' as since from (select received_at from '
    ~ ref('stg_bitso__order_books') ~ ' union all select received_at from '
    ~ ref('stg_bitso__tickers') ~ ') as received'
) %}

with

gaps as (

    select * from {{ ref('stg_pipeline__gaps') }}

),

{{ feeds_watching() }},

{{ windows_touched('observation_coverage') }},

{{ windows_watched() }},

{{ windows_missing() }},

summed as (

    select
        paces.book,
        paces.window_start,
        sum({{ seconds_of('paces.expected') }}) as expected,
        sum({{ seconds_of('paces.seen * paces.expected') }}) as observed,
        sum(paces.repeated) as repeated
    from paces
    group by paces.book, paces.window_start

),

windows_covered as (

    select
        ---------- ids
        summed.book,
        summed.window_start,

        ---------- strings
        missing.causes,

        ---------- numerics
        cast(summed.expected as integer) as expected,
        cast(summed.observed as integer) as observed,
        cast(summed.observed + summed.repeated as integer) as samples,
        cast(coalesce(missing.missing, 0) as integer) as missing,
        cast(
            coalesce(missing.longest_gap_seconds, 0) as integer
        ) as longest_gap_seconds
    from summed
    left join missing
        on
            summed.book = missing.book
            and summed.window_start = missing.window_start

)

select * from windows_covered
