{{ config(materialized='view') }}

with

settings as (

    select
        cast('{{ var("reporting_timezone") }}' as text) as reporting_timezone

)

select * from settings
