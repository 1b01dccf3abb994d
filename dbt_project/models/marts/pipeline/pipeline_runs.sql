{{ config(materialized='view') }}

with

runs as (

    select * from {{ ref('stg_pipeline__runs') }}

)

select * from runs
