with

markets as (

    select * from {{ ref('markets') }}

),

-- A market that two daily crawls in a row have not met is gone.
current_markets as (

    select markets.*
    from markets
    where
        markets.last_seen
        > (select max(latest.last_seen) from markets as latest)
        - interval '2 days'

),

bitso_markets as (

    select
        current_markets.base,
        current_markets.target
    from current_markets
    where current_markets.exchange_id = 'bitso'

),

shared as (

    select
        current_markets.exchange_id,
        current_markets.base,
        current_markets.target
    from current_markets
    inner join bitso_markets
        on
            current_markets.base = bitso_markets.base
            and current_markets.target = bitso_markets.target
    where current_markets.exchange_id <> 'bitso'

)

select * from shared
