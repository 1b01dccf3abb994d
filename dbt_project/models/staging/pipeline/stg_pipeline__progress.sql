-- Filled by the models themselves, each in the transaction of its rows
-- (macro remember_progress).
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        indexes=[{'columns': ['model_name'], 'unique': true}],
    )
}}

with

nothing as (

    select
        cast(null as text) as model_name,
        cast(null as bigint) as cut,
        cast(null as text) as settings_digest
    where false

)

select * from nothing
