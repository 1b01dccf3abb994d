{#
    What the feeds were to watch and what they saw, for models to pick from:
    CTEs `monitored`, by run, `watched_time` with adjoining time in one row, and
    `sights`, every row of a feed.
#}
{% macro feeds_watching() %}
    monitored as not materialized (

        select * from {{ ref('stg_pipeline__monitored') }}
        where monitored_from < monitored_until

    ),

    sights as not materialized (

        select
            tickers.book,
            tickers.received_at,
            tickers.run_id,
            'ticker' as feed
        from {{ ref('stg_bitso__tickers') }} as tickers
        union all
        select
            order_books.book,
            order_books.received_at,
            order_books.run_id,
            case order_books.channel
                when 'diff-orders' then 'stream'
                else 'order_book'
            end as feed
        from {{ ref('stg_bitso__order_books') }} as order_books

    ),

    -- Of a run whose seconds are not all known yet nothing counts.
    watched_time as (

        select
            merged.feed,
            merged.books,
            merged.interval_seconds,
            merged.is_recorded,
            merged.monitored_from,
            merged.monitored_until
        from {{ ref('stg_pipeline__monitored_time') }} as merged
        union all
        select
            monitored.feed,
            monitored.books,
            monitored.interval_seconds,
            monitored.is_recorded,
            monitored.monitored_from,
            monitored.monitored_until
        from monitored
        inner join {{ ref('stg_pipeline__runs') }} as runs
            on monitored.run_id = runs.run_id
        where not monitored.is_merged and runs.status <> 'running'

    )
{% endmacro %}
