{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['exchange_id', 'observed_at'],
        indexes=[{'columns': ['observed_at']}],
        pre_hook=[
            "{{ lock_cuts(shared=true) }}",
            "{{ forget_replayed('observed_at') }}",
        ],
        post_hook="{{ remember_progress('exchange_volumes') }}",
    )
}}

{% do assert_remembered(
    "select 'volumes' as origin, min(observed_at) as since from " ~ this,
    "select 'volumes' as origin, min(received_at) as since from "
    ~ ref('stg_coincap__exchanges')
) %}

with

exchanges as (

    select * from {{ ref('stg_coincap__exchanges') }}
    where {{ is_pending('run_id', 'exchange_volumes', 'received_at') }}

),

volumes as (

    select distinct on (exchanges.exchange_id, exchanges.received_at)
        ---------- ids
        exchanges.exchange_id,
        exchanges.received_at as observed_at,

        ---------- strings
        exchanges.exchange_name,
        exchanges.exchange_url,

        ---------- numerics
        exchanges.exchange_rank,
        exchanges.volume_usd,
        exchanges.percent_total_volume,
        exchanges.trading_pairs,

        ---------- booleans
        exchanges.has_socket,

        ---------- timestamps
        exchanges.updated_at
    from exchanges
    order by
        exchanges.exchange_id asc,
        exchanges.received_at asc,
        exchanges.updated_at desc nulls last,
        exchanges.exchange_rank asc

)

select * from volumes
