{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['book', 'hour'],
        pre_hook=[
            "{{ keep_to_contract() }}",
            "{{ lock_cuts(shared=true) }}", "{{ forget_replayed('hour') }}",
        ],
        post_hook="{{ remember_progress('spread_histogram', ['quotes']) }}",
    )
}}

with

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

{% if is_incremental() %}

    touched_hours as (

        select distinct
            quotes.book,
            {{ start_of('hour', 'quotes.quoted_at') }} as hour
        from quotes
        where quotes.changed_in > {{ taken_in('spread_histogram') }}

    ),

    {{ quotes_of_touched_hours() }},

{% else %}

    {{ quotes_of_all_hours() }},

{% endif %}

-- Beyond a million percent nobody asks how much.
stepped as (

    select
        primary_quotes.book,
        primary_quotes.hour,
        cast(
            floor(
                least(greatest(primary_quotes.spread, -1000000), 1000000) * 1000
            ) as integer
        ) as step
    from primary_quotes

),

histogram as (

    select
        ---------- ids
        stepped.book,
        stepped.hour,
        stepped.step,

        ---------- numerics
        count(*) as observations
    from stepped
    group by stepped.book, stepped.hour, stepped.step

)

select * from histogram
