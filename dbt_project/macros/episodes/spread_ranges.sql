{#
    Which stretches of which books an incremental run has to judge anew, as
    CTEs that end in `ranges`: from each touched hour to the end of the next
    one after it in which all was calm, for there every episode has ended,
    whatever was before. Open episodes are looked at again because time passes
    for them also without an observation. A threshold that is new is judged in a
    range of its own, which is all of its book's history: CTE
    `range_thresholds` says which are judged in which. From a CTE `thresholds`.
#}
{% macro spread_ranges() %}
    touched_hours as (

        select distinct
            quotes.book,
            {{ start_of('hour', 'quotes.quoted_at') }} as first_hour,
            {{ start_of('hour', 'quotes.quoted_at') }} as last_hour
        from {{ ref('quotes') }} as quotes
        where
            quotes.changed_in
            > {{ taken_in('spread_alerts', spread_settings()) }}
        union distinct
        select
            known.book,
            {{ start_of('hour', 'known.last_observed_at') }} as first_hour,
            {{ start_of('hour', 'known.last_observed_at') }} as last_hour
        from {{ this }} as known
        where known.closed_at is null
        {% if is_replay() %}
            -- Also where nothing is left that could have changed. As one
            -- stretch: it may be thousands of years long.
            union distinct
            select
                books.book,
                timestamptz '{{ var('since') }}' as first_hour,
                timestamptz '{{ var('until') }}'
                - interval '1 hour' as last_hour
            from {{ ref('books') }} as books
        {% endif %}

    ),

    calm_limits as (

        select
            thresholds.book,
            min(thresholds.close_below_pct) as close_below_pct
        from thresholds
        where not thresholds.is_new
        group by thresholds.book

    ),

    touched_ranges as (

        select
            touched_hours.book,
            tstzrange(
                touched_hours.first_hour, next_calm.hour + interval '1 hour'
            ) as touched_range
        from touched_hours
        inner join calm_limits
            on touched_hours.book = calm_limits.book
        left join
            lateral (
                select hours.hour
                from {{ ref('spread_hourly') }} as hours
                where
                    hours.book = touched_hours.book
                    and hours.hour > touched_hours.last_hour
                    and hours.peak_spread < calm_limits.close_below_pct
                order by hours.hour
                limit 1
            ) as next_calm
            on true

    ),

    merged_ranges as (

        select
            touched_ranges.book,
            unnest(range_agg(touched_ranges.touched_range)) as merged_range
        from touched_ranges
        group by touched_ranges.book

    ),

    ranges as (

        select
            merged_ranges.book,
            lower(merged_ranges.merged_range) as range_start,
            coalesce(upper(merged_ranges.merged_range), 'infinity') as range_end
        from merged_ranges
        union all
        select distinct
            thresholds.book,
            timestamptz '-infinity' as range_start,
            timestamptz 'infinity' as range_end
        from thresholds
        where thresholds.is_new

    ),

    range_thresholds as (

        select
            thresholds.*,
            ranges.range_start,
            ranges.range_end
        from ranges
        inner join thresholds
            on
                ranges.book = thresholds.book
                and thresholds.is_new = (ranges.range_start = '-infinity')

    )
{% endmacro %}
