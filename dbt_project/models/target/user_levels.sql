with

levels_reached as (

    select * from {{ ref('stg_snapshots__user_levels') }}

),

levels_with_validity as (

    select
        ---------- ids
        levels_reached.user_id,

        ---------- strings
        levels_reached.jurisdiction,

        ---------- numerics
        levels_reached.level,

        ---------- timestamps
        levels_reached.reached_at as valid_from,
        lead(levels_reached.reached_at) over (
            partition by levels_reached.user_id, levels_reached.jurisdiction
            order by levels_reached.reached_at
        ) as valid_to
    from levels_reached

)

select * from levels_with_validity
