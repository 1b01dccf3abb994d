{#
    Hours in which no quote has changed, for the thresholds that are new: what
    was observed in them is known, how often the spread was above is counted.
    CTE `uncounted_hours`, from CTEs `quotes` and `covered_hours`.
#}
{% macro hours_of_uncounted_thresholds() %}
    new_thresholds as (

        {{ uncounted_thresholds() }}

    ),

    unchanged_hours as (

        select distinct on (known.book, known.hour)
            known.book,
            known.hour,
            known.observations,
            known.peak_spread,
            known.coverage
        from {{ this }} as known
        where
            not exists (
                select 1 from covered_hours
                where
                    covered_hours.book = known.book
                    and covered_hours.hour = known.hour
            )
        order by known.book asc, known.hour asc

    ),

    new_breaches as (

        {{ breaches_by_hour('quotes', 'new_thresholds') }}

    ),

    uncounted_hours as (

        select
            unchanged_hours.book,
            unchanged_hours.hour,
            new_thresholds.threshold_pct,
            unchanged_hours.observations,
            unchanged_hours.peak_spread,
            unchanged_hours.coverage,
            coalesce(new_breaches.breaches, 0) as breaches
        from unchanged_hours
        cross join new_thresholds
        left join new_breaches
            on
                unchanged_hours.book = new_breaches.book
                and unchanged_hours.hour = new_breaches.hour
                and new_thresholds.threshold_pct = new_breaches.threshold_pct

    )
{% endmacro %}


{# How many primary quotes of each hour are above each threshold, a select. #}
{% macro breaches_by_hour(quotes, thresholds) -%}
    select
        {{ quotes }}.book,
        {{ thresholds }}.threshold_pct,
        {{ start_of('hour', quotes ~ '.quoted_at') }} as hour,
        count(*) as breaches
    from {{ quotes }}
    cross join {{ thresholds }}
    where
        {{ quotes }}.is_primary
        and {{ function('is_above') }}(
            {{ quotes }}.bid,
            {{ quotes }}.ask,
            {{ thresholds }}.threshold_pct
        )
    group by 1, 2, 3
{%- endmacro %}
