with

deliveries as (

    select * from {{ source('pipeline', 'alert_deliveries') }}

),

renamed as (

    select
        ---------- ids
        deliveries.idempotency_key as message_id,

        ---------- strings
        deliveries.book,
        deliveries.episode_event,
        deliveries.channel,
        deliveries.address,
        deliveries.status,

        ---------- numerics
        deliveries.threshold_pct,
        deliveries.attempt,

        ---------- booleans
        deliveries.is_repeat,

        ---------- timestamps
        deliveries.opened_at,
        deliveries.finished_at
    from deliveries

)

select * from renamed
