with

asked as materialized (

    select
        book_name,
        from_text,
        to_text,
        period_kind,
        (
            select book from {{ function('book_named') }}(book_name)
        ) as book

),

bounds as materialized (

    select
        asked.*,
        hours.first_hour,
        hours.end_hour,
        zones.reporting_timezone
    from asked
    cross join
        lateral {{ function('hours_between') }}(
            asked.from_text, asked.to_text
        ) as hours
    cross join {{ ref('reporting_settings') }} as zones

),

levels as materialized (

    select
        thresholds.book,
        array_agg(
            thresholds.threshold_pct order by thresholds.threshold_pct
        ) as pcts
    from {{ ref('book_thresholds') }} as thresholds
    group by thresholds.book

),

parts as (

    select
        held.*,
        levels.pcts,
        {{ function('period_of_hour') }}(
            held.hour, bounds.period_kind, bounds.reporting_timezone
        ) as period
    from bounds
    cross join
        lateral {{ function('spread_held') }}(
            bounds.book_name, bounds.first_hour, bounds.end_hour
        ) as held
    left join levels
        on held.book = levels.book

),

measured as (

    select
        parts.book,
        parts.period,
        sum(parts.spread * parts.seconds) / sum(parts.seconds) as average,
        max(parts.spread) filter (where parts.seen_at >= parts.hour) as largest,
        {{ seconds_above('parts', 1) }} as above_1,
        {{ seconds_above('parts', 2) }} as above_2,
        {{ seconds_above('parts', 3) }} as above_3
    from parts
    group by parts.book, parts.period, parts.pcts

),

covered as (

    select windows.*
    from bounds
    cross join
        lateral {{ function('coverage_by_period') }}(
            bounds.first_hour,
            bounds.end_hour,
            bounds.period_kind,
            bounds.reporting_timezone
        ) as windows
    where bounds.book_name is null or bounds.book = windows.book

),

quantiles as (

    select steps.*
    from bounds
    cross join
        lateral {{ function('quantiles_by_period') }}(
            bounds.first_hour,
            bounds.end_hour,
            bounds.period_kind,
            bounds.reporting_timezone
        ) as steps

)

-- A quantile is the middle of a step, which may be above all that was seen.
select
    least(quantiles.median, measured.largest) as median,
    least(quantiles.p95, measured.largest) as p95,
    least(quantiles.p99, measured.largest) as p99,
    coalesce(measured.period, covered.period) as period,
    coalesce(measured.book, covered.book) as book,
    trim_scale(covered.coverage) as coverage,
    trim_scale(round(measured.average, 6)) as average_spread,
    trim_scale(measured.largest) as largest,
    trim_scale(measured.above_1) as seconds_above_1,
    trim_scale(measured.above_2) as seconds_above_2,
    trim_scale(measured.above_3) as seconds_above_3
from measured
full outer join covered
    on measured.book = covered.book and measured.period = covered.period
left join quantiles
    on measured.book = quantiles.book and measured.period = quantiles.period
-- Not where nobody looked and only the last spread before still held.
where measured.largest is not null or covered.book is not null
