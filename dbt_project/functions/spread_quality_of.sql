with

bounds as materialized (

    select
        hours.first_hour,
        hours.end_hour,
        zones.reporting_timezone
    from {{ function('hours_between') }}(from_text, to_text) as hours
    cross join {{ ref('reporting_settings') }} as zones

),

levels as materialized (

    select
        thresholds.book,
        array_agg(thresholds.threshold_pct order by thresholds.threshold_pct)
            as pcts
    from {{ ref('book_thresholds') }} as thresholds
    group by thresholds.book

),

held as (

    select
        parts.book,
        {{ function('period_of_hour') }}(
            parts.hour, period_kind, bounds.reporting_timezone
        ) as period,
        sum(parts.spread * parts.seconds) / sum(parts.seconds) as average,
        max(parts.spread) filter (where parts.seen_at >= parts.hour) as largest,
        {% for place in (1, 2, 3) %}
            case
                when levels.pcts[{{ place }}] is not null
                    then coalesce(
                        sum(parts.seconds) filter (
                            where {{ function('is_above') }}(
                                parts.bid, parts.ask, levels.pcts[{{ place }}]
                            )
                        ),
                        0
                    )
            end as above_{{ place }}{{ ',' if not loop.last }}
        {% endfor %}
    from bounds
    cross join
        lateral {{ function('spread_held') }}(
            book_name, bounds.first_hour, bounds.end_hour
        ) as parts
    left join levels
        on parts.book = levels.book
    group by 1, 2, levels.pcts

),

covered as (

    select
        windows.book,
        {{ function('period_of_hour') }}(
            date_trunc('hour', windows.window_start, 'UTC'),
            period_kind,
            bounds.reporting_timezone
        ) as period,
        {{ coverage_of('windows') }} as coverage
    from bounds
    inner join {{ ref('observation_coverage') }} as windows
        on
            bounds.first_hour <= windows.window_start
            and bounds.end_hour > windows.window_start
    where
        book_name is null
        or windows.book = (
            select named.book
            from {{ function('book_named') }}(book_name) as named
        )
    group by 1, 2

),

quantiles as (

    select steps.*
    from bounds
    cross join
        lateral {{ function('quantiles_by_period') }}(
            bounds.first_hour,
            bounds.end_hour,
            period_kind,
            bounds.reporting_timezone
        ) as steps

)

select
    coalesce(held.period, covered.period) as period,
    coalesce(held.book, covered.book) as book,
    trim_scale(covered.coverage) as coverage,
    trim_scale(round(held.average, 6)) as average_spread,
    quantiles.median,
    quantiles.p95,
    quantiles.p99,
    trim_scale(held.largest) as largest,
    trim_scale(held.above_1) as seconds_above_1,
    trim_scale(held.above_2) as seconds_above_2,
    trim_scale(held.above_3) as seconds_above_3
from held
full outer join covered
    on held.book = covered.book and held.period = covered.period
left join quantiles
    on held.book = quantiles.book and held.period = quantiles.period
