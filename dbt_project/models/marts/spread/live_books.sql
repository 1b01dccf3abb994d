{{ config(materialized='view') }}

with

observed as (

    select * from {{ ref('observed_books') }}

),

latest as (

    select * from {{ ref('latest_observations') }}

),

live_books as (

    select
        latest.book,
        latest.observed_at as last_observed_at,
        coalesce(observed.first_observed_at, latest.observed_at)
            as first_observed_at
    from latest
    left join observed
        on latest.book = observed.book

)

select * from live_books
