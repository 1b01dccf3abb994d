with

known_event_types as (

    select * from {{ ref('known_event_types') }}

),

events as (

    select * from {{ ref('stg_snapshots__events') }}

),

mentions as (

    select
        {{ function('code_of') }}(known_event_types.event_name) as event_name,
        known_event_types.is_login,
        true as is_known
    from known_event_types
    union all
    select distinct
        events.event_name,
        false as is_login,
        false as is_known
    from events

),

mentions_merged_to_event_types as (

    select
        mentions.event_name,
        bool_or(mentions.is_login) as is_login,
        bool_or(mentions.is_known) as is_known
    from mentions
    group by 1

)

select * from mentions_merged_to_event_types
