-- As spread_alerts would be if dbt had run this moment: what came in after the
-- last quote that is modelled is judged here. Rows that came late wait for dbt.
{{ config(materialized='view') }}

with

books as (

    select * from {{ ref('books') }}

),

alerts as (

    select * from {{ ref('spread_alerts') }}

),

{{ quotes_since_modelled() }},

{{ quotes_ranked('fresh_quotes') }},

{{ thresholds_to_judge() }},

{{ ranges_since_modelled() }},

{{ spread_context() }},

observations as (

    select
        ranked.book,
        modelled.modelled_until + interval '1 microsecond' as range_start,
        ranked.quoted_at as observed_at,
        ranked.feed,
        ranked.bid,
        ranked.ask,
        ranked.spread,
        cast(null as bigint) as context_rank
    from ranked
    cross join modelled
    where ranked.is_primary
    union all
    select * from context

),

carried as materialized (

    select
        alerts.*,
        ranges.range_start
    from alerts
    inner join ranges
        on alerts.book = ranges.book
    where alerts.closed_at is null

),

{{ spread_episodes('observations', 'carried', 'now()', ref('feeds')) }},

all_episodes as (

    select
        alerts.book,
        alerts.threshold_pct,
        alerts.opened_at,
        alerts.closed_at,
        alerts.last_observed_at,
        alerts.blind_at,
        alerts.close_reason,
        alerts.channels,
        alerts.opening_bid,
        alerts.opening_ask,
        alerts.opening_spread,
        alerts.peak_spread,
        alerts.observations,
        alerts.breaches
    from alerts
    where alerts.closed_at is not null
    union all
    select * from episodes

)

select * from all_episodes
