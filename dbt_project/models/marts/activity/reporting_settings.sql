{{ config(materialized='view') }}

with

settings as (

    select
        cast('{{ var("reporting_timezone") }}' as text) as reporting_timezone,
        cast({{ var("blind_after_seconds") }} as integer) as blind_after_seconds

)

select * from settings
