-- Filled by the models themselves, each in the transaction of its rows
-- (macro remember_thresholds).
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        indexes=[{
            'columns': ['model_name', 'book', 'threshold_pct'], 'unique': true
        }],
    )
}}

with

nothing as (

    select
        cast(null as text) as model_name,
        cast(null as text) as book,
        cast(null as numeric(18, 12)) as threshold_pct,
        cast(null as numeric(18, 12)) as close_below_pct,
        cast(null as integer) as min_observations,
        cast(null as text) as channels
    where false

)

select * from nothing
