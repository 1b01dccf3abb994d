{{
    config(
        indexes=[{'columns': ['jurisdiction', 'level']}],
        post_hook="create index on {{ this }} (user_id, jurisdiction)
        include (level, since)",
    )
}}

with

user_levels as (

    select * from {{ ref('user_levels') }}

),

current_levels as (

    select
        user_levels.user_id,
        user_levels.jurisdiction,
        user_levels.level,
        user_levels.valid_from as since
    from user_levels
    where user_levels.valid_to is null

)

select * from current_levels
