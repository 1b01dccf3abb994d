{#
    The observations that are not calm, for each threshold that their range is
    judged for, with the episode that is carried into it. CTE `restless`, from
    CTEs `neighbours` and `range_thresholds`.
#}
{% macro observations_above(carried) %}
    -- Calm ones are needed no more: their neighbours know of them. Where an
    -- episode is carried into a range, its last observation stands for it.
    restless as (

        select
            neighbours.*,
            range_thresholds.threshold_pct,
            range_thresholds.channels,
            range_thresholds.min_observations,
            range_thresholds.is_watched,
            {{ carried }}.opened_at as carried_opened_at,
            {{ carried }}.opening_bid as carried_bid,
            {{ carried }}.opening_ask as carried_ask,
            {{ carried }}.opening_spread as carried_spread,
            {{ carried }}.peak_spread as carried_peak,
            {{ carried }}.observations as carried_observations,
            {{ carried }}.breaches as carried_breaches,
            {{ carried }}.opened_at is not null
            and neighbours.context_rank is not null as is_carried,
            {{ function('is_above') }}(
                neighbours.bid,
                neighbours.ask,
                range_thresholds.threshold_pct
            ) as is_breach,
            neighbours.is_after_gap
            or not {{ function('is_above') }}(
                neighbours.previous_bid,
                neighbours.previous_ask,
                range_thresholds.close_below_pct
            ) as is_first,
            {{ function('is_above') }}(
                neighbours.previous_bid,
                neighbours.previous_ask,
                range_thresholds.threshold_pct
            ) as is_after_breach
        from neighbours
        inner join range_thresholds
            on
                neighbours.book = range_thresholds.book
                and neighbours.range_start = range_thresholds.range_start
        left join {{ carried }}
            on
                neighbours.book = {{ carried }}.book
                and neighbours.range_start = {{ carried }}.range_start
                and range_thresholds.threshold_pct
                = {{ carried }}.threshold_pct
        where
            {{ function('is_above') }}(
                neighbours.bid,
                neighbours.ask,
                range_thresholds.close_below_pct
            )
            and (
                neighbours.context_rank is null
                or neighbours.context_rank < case
                    when {{ carried }}.opened_at is not null then 2
                    else range_thresholds.min_observations
                end
            )

    )
{% endmacro %}
