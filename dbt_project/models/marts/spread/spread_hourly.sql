{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['book', 'hour', 'threshold_pct'],
        pre_hook=[
            "{{ keep_to_contract() }}",
            "{{ lock_cuts(shared=true) }}", "{{ forget_replayed('hour') }}",
            "{{ forget_uncounted_books() }}",
        ],
        post_hook=[
            "{{ remember_progress(
                'spread_hourly', ['quotes', 'observation_coverage'],
                hourly_settings()
            ) }}",
            "{{ forget_gone_thresholds() }}",
            "{{ remember_thresholds('spread_hourly', counted_thresholds()) }}",
        ],
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

    {{ breaches_by_hour('primary_quotes', 'thresholds') }}

),

{% if has_uncounted_thresholds() %}

    {{ hours_of_uncounted_thresholds() }},

{% endif %}

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
    {% if has_uncounted_thresholds() %}
        union all
        select
            uncounted_hours.book,
            uncounted_hours.hour,
            uncounted_hours.threshold_pct,
            uncounted_hours.observations,
            uncounted_hours.peak_spread,
            uncounted_hours.coverage,
            uncounted_hours.breaches
        from uncounted_hours
    {% endif %}

)

select * from hours_by_threshold
