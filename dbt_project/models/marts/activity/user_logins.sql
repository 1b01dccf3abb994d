{{
    config(
        indexes=[
            {'columns': ['user_id', 'logged_in_at']},
            {'columns': ['logged_in_at']},
        ],
    )
}}

with

events as (

    select * from {{ ref('events') }}

),

login_types as (

    select event_name from {{ ref('event_types') }}
    where is_login

),

logins as (

    select
        events.event_id,
        events.user_id,
        events.occurred_at as logged_in_at
    from events
    inner join login_types
        on events.event_name = login_types.event_name

)

select * from logins
