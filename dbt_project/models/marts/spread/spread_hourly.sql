{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['book', 'hour', 'threshold_pct'],
        pre_hook=[
            "{{ lock_cuts(shared=true) }}",
            "{{ forget_replayed('hour') }}", "{{ forget_uncounted_books() }}",
        ],
        post_hook=[
            "{{ remember_progress(
                'spread_hourly', 'quotes', spread_settings()
            ) }}",
            "{{ forget_gone_thresholds() }}",
            "{{ remember_thresholds(
                'spread_hourly', counted_thresholds()
            ) }}",
        ],
    )
}}

with

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

feeds as (

    select * from {{ ref('feeds') }}

),

-- Of any book, for every book: how often it would have been above.
thresholds as (

    select distinct book_thresholds.threshold_pct
    from {{ ref('book_thresholds') }} as book_thresholds

),

{{ quotes_to_count() }},

-- The fastest feed of the hour says how many observations to expect.
quotes_with_interval as (

    select
        primary_quotes.*,
        min(feeds.interval_seconds) over (
            partition by primary_quotes.book, primary_quotes.hour
        ) as interval_seconds
    from primary_quotes
    inner join feeds
        on primary_quotes.feed = feeds.feed

),

covered_hours as (

    select
        quotes_with_interval.book,
        quotes_with_interval.hour,
        cast(
            max(quotes_with_interval.spread) as numeric(56, 12)
        ) as peak_spread,
        cast(
            least(
                count(distinct div(
                    extract(epoch from quotes_with_interval.quoted_at),
                    quotes_with_interval.interval_seconds
                )) * min(quotes_with_interval.interval_seconds) / 3600.0,
                1
            ) as numeric(7, 6)
        ) as coverage,
        count(*) as observations
    from quotes_with_interval
    group by quotes_with_interval.book, quotes_with_interval.hour

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
