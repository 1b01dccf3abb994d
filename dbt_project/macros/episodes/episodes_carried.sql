{#
    The episodes that were open when a range began, as they were then: what
    spread_episodes takes as `carried`. CTE `carried`, from CTEs
    `range_thresholds` and `quotes`, for the table of the episodes.
#}
{% macro episodes_carried() %}
    entering as (

        select
            known.*,
            range_thresholds.range_start,
            range_thresholds.min_observations,
            case
                when range_thresholds.is_watched
                    then {{ start_of('hour', 'known.opened_at') }}
                        + interval '1 hour'
                else range_thresholds.range_start
            end as first_full_hour
        from {{ this }} as known
        inner join range_thresholds
            on
                known.book = range_thresholds.book
                and known.threshold_pct = range_thresholds.threshold_pct
                and known.opened_at < range_thresholds.range_start
                and (
                    known.closed_at is null
                    or known.closed_at >= range_thresholds.range_start
                )

    ),

    -- What an episode amounted to when the range began: the rest of its first
    -- hour quote by quote, full hours as counted, so that a long one is cheap.
    -- Of a threshold that is gone no hours are counted any more.
    entering_parts as (

        select
            entering.book,
            entering.range_start,
            entering.threshold_pct,
            max(quotes.spread) as peak_spread,
            count(*) as observations,
            count(*) filter (
                where
                {{ function('is_above') }}(
                    quotes.bid, quotes.ask, entering.threshold_pct
                )
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
        where entering_summed.observations >= entering.min_observations

    )
{% endmacro %}
