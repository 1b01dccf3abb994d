{{
    config(
        materialized='incremental',
        incremental_strategy='replace_episodes',
        unique_key=['book', 'threshold_pct', 'opened_at'],
        indexes=[{'columns': ['closed_at']}],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress(
            'spread_alerts', 'quotes', spread_settings()
        ) }}",
    )
}}

-- depends_on: {{ ref('spread_hourly') }}

with

books as (

    select * from {{ ref('books') }}

),

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

-- How far the market has been seen at all: a book that is silent since then
-- is unseen.
seen as (

    select max(latest_quotes.quoted_at) as seen_until
    from books
    cross join
        lateral (
            select max(quotes.quoted_at) as quoted_at
            from quotes
            where quotes.book = books.book
        ) as latest_quotes

),

{% if is_incremental() %}

    {{ spread_ranges() }},

    {{ spread_context() }},

    observations as (

        select
            ranges.book,
            ranges.range_start,
            quotes_of_range.quoted_at as observed_at,
            quotes_of_range.feed,
            quotes_of_range.bid,
            quotes_of_range.ask,
            quotes_of_range.spread,
            cast(null as bigint) as context_rank
        from ranges
        cross join
            lateral (
                select quotes.*
                from quotes
                where
                    quotes.book = ranges.book
                    and quotes.quoted_at >= ranges.range_start
                    and quotes.quoted_at < ranges.range_end
                    and quotes.is_primary
                order by quotes.quoted_at
                offset 0
            ) as quotes_of_range
        union all
        select * from context

    ),

    entering as (

        select
            known.*,
            ranges.range_start,
            {{ start_of('hour', 'known.opened_at') }}
            + interval '1 hour' as first_full_hour
        from {{ this }} as known
        inner join ranges
            on
                known.book = ranges.book
                and known.opened_at < ranges.range_start
                and (
                    known.closed_at is null
                    or known.closed_at >= ranges.range_start
                )

    ),

    -- What an episode amounted to when the range began: the rest of its first
    -- hour quote by quote, full hours as counted, so that a long one is cheap.
    entering_parts as (

        select
            entering.book,
            entering.range_start,
            entering.threshold_pct,
            max(quotes.spread) as peak_spread,
            count(*) as observations,
            count(*) filter (
                where
                {{ is_above(
                    'quotes.bid', 'quotes.ask', 'entering.threshold_pct'
                ) }}
            ) as breaches
        from entering
        inner join quotes
            on
                entering.book = quotes.book
                and entering.opened_at <= quotes.quoted_at
                and entering.first_full_hour > quotes.quoted_at
                and quotes.is_primary
        group by
            entering.book, entering.range_start, entering.threshold_pct
        union all
        select
            entering.book,
            entering.range_start,
            entering.threshold_pct,
            max(hours.peak_spread) as peak_spread,
            sum(hours.observations) as observations,
            sum(hours.breaches) as breaches
        from entering
        inner join {{ ref('spread_hourly') }} as hours
            on
                entering.book = hours.book
                and entering.threshold_pct = hours.threshold_pct
                and entering.first_full_hour <= hours.hour
                and entering.range_start > hours.hour
        group by
            entering.book, entering.range_start, entering.threshold_pct

    ),

    entering_summed as (

        select
            entering_parts.book,
            entering_parts.range_start,
            entering_parts.threshold_pct,
            sum(entering_parts.observations) as observations,
            sum(entering_parts.breaches) as breaches,
            max(entering_parts.peak_spread) as peak_spread
        from entering_parts
        group by
            entering_parts.book,
            entering_parts.range_start,
            entering_parts.threshold_pct

    ),

    -- One that the range's own quotes made an episode is judged with them.
    carried as (

        select
            entering.book,
            entering.range_start,
            entering.threshold_pct,
            entering.opened_at,
            entering.opening_bid,
            entering.opening_ask,
            entering.opening_spread,
            entering_summed.peak_spread,
            entering_summed.observations,
            entering_summed.breaches
        from entering
        inner join entering_summed
            on
                entering.book = entering_summed.book
                and entering.range_start = entering_summed.range_start
                and entering.threshold_pct = entering_summed.threshold_pct
        inner join {{ ref('book_thresholds') }} as thresholds
            on
                entering.book = thresholds.book
                and entering.threshold_pct = thresholds.threshold_pct
        where entering_summed.observations >= thresholds.min_observations

    ),

{% else %}

    observations as (

        select
            quotes.book,
            quotes.quoted_at as observed_at,
            quotes.feed,
            quotes.bid,
            quotes.ask,
            quotes.spread,
            cast(null as bigint) as context_rank,
            timestamptz '-infinity' as range_start
        from quotes
        where quotes.is_primary

    ),

    carried as (

        select
            observations.book,
            observations.range_start,
            cast(null as numeric) as threshold_pct,
            observations.observed_at as opened_at,
            observations.bid as opening_bid,
            observations.ask as opening_ask,
            observations.spread as opening_spread,
            observations.spread as peak_spread,
            cast(null as bigint) as observations,
            cast(null as bigint) as breaches
        from observations
        where false

    ),

{% endif %}

{{ spread_episodes(
    'observations', 'carried', '(select seen.seen_until from seen)'
) }}

select * from episodes
