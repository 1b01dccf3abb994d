{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['book', 'hour'],
        pre_hook=[
            "{{ keep_to_contract() }}",
            "{{ lock_cuts(shared=true) }}",
            "{{ forget_replayed('hour') }}",
        ],
        post_hook="{{ remember_progress(
            'spread_hourly',
            ['quotes', 'observation_coverage'],
            hourly_settings()
        ) }}",
    )
}}

-- What incremental runs read: dbt looks for it where there is no table yet.
-- depends_on: {{ ref('stg_pipeline__monitored') }}
-- depends_on: {{ ref('stg_pipeline__monitored_time') }}
-- depends_on: {{ ref('stg_pipeline__finished_runs') }}
-- depends_on: {{ ref('stg_pipeline__runs') }}
-- depends_on: {{ ref('stg_bitso__order_books') }}
-- depends_on: {{ ref('stg_bitso__tickers') }}

with

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

-- Of any book, for every book: how often it would have been above.
thresholds as (

    select distinct book_thresholds.threshold_pct
    from {{ ref('book_thresholds') }} as book_thresholds

),

{{ quotes_to_count() }},

counted as (

    select
        primary_quotes.book,
        primary_quotes.hour,
        cast(max(primary_quotes.spread) as numeric(56, 12)) as peak_spread,
        count(*) as observations
    from primary_quotes
    group by primary_quotes.book, primary_quotes.hour

),

-- Where nothing was to be seen, coverage is not known.
covered_hours as (

    select
        counted.book,
        counted.hour,
        counted.peak_spread,
        counted.observations,
        {{ coverage_of('windows') }} as coverage
    from counted
    left join {{ ref('observation_coverage') }} as windows
        on
            counted.book = windows.book
            and counted.hour <= windows.window_start
            and counted.hour + interval '1 hour' > windows.window_start
    group by
        counted.book,
        counted.hour,
        counted.peak_spread,
        counted.observations

),

breaches_counted as (

    select
        primary_quotes.book,
        primary_quotes.hour,
        thresholds.threshold_pct,
        count(*) as breaches
    from primary_quotes
    cross join thresholds
    where
        {{ function('is_above') }}(
            primary_quotes.bid,
            primary_quotes.ask,
            thresholds.threshold_pct
        )
    group by
        primary_quotes.book, primary_quotes.hour, thresholds.threshold_pct

),

hours_by_threshold as (

    select
        ---------- ids
        covered_hours.book,
        covered_hours.hour,
        thresholds.threshold_pct,

        ---------- numerics
        covered_hours.observations,
        covered_hours.peak_spread,
        covered_hours.coverage,
        coalesce(breaches_counted.breaches, 0) as breaches
    from covered_hours
    cross join thresholds
    left join breaches_counted
        on
            covered_hours.book = breaches_counted.book
            and covered_hours.hour = breaches_counted.hour
            and thresholds.threshold_pct = breaches_counted.threshold_pct

)

select * from hours_by_threshold
