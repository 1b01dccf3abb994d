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

looks as (

    select
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
    {% if is_incremental() %}
        -- What is known of the same instants has its say as if it came now.
        union all
        select
            known.exchange_id,
            known.observed_at,
            known.exchange_name,
            known.exchange_url,
            known.exchange_rank,
            known.volume_usd,
            known.percent_total_volume,
            known.trading_pairs,
            known.has_socket,
            known.updated_at
        from {{ this }} as known
        where
            (known.exchange_id, known.observed_at) in (
                select
                    exchanges.exchange_id,
                    exchanges.received_at
                from exchanges
            )
    {% endif %}

),

-- Every column decides, so that the order in which two came does not.
volumes as (

    select distinct on (looks.exchange_id, looks.observed_at) looks.*
    from looks
    order by
        looks.exchange_id asc,
        looks.observed_at asc,
        looks.updated_at desc nulls last,
        looks.exchange_rank asc,
        looks.volume_usd desc,
        looks.percent_total_volume desc,
        looks.trading_pairs desc,
        looks.has_socket desc,
        looks.exchange_name asc,
        looks.exchange_url asc

)

select * from volumes
