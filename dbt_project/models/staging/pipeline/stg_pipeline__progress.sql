-- Filled by the models themselves, each in the transaction of its rows
-- (macro remember_progress).
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        indexes=[{'columns': ['model'], 'unique': true}],
    )
}}

with

nothing as (

    select
        cast(null as text) as model,
        cast(null as bigint) as cut,
        cast(null as text) as settings
    where false

)

select * from nothing
