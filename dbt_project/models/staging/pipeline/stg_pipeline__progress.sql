-- Filled by the models themselves, each in the transaction of its rows
-- (macro remember_progress).
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        on_schema_change='append_new_columns',
        indexes=[{'columns': ['model_name'], 'unique': true}],
    )
}}

with

nothing as (

    select
        cast(null as text) as model_name,
        cast(null as bigint) as cut,
        cast(null as text) as settings_digest,
        cast(null as timestamptz) as seen_until
    where false

)

select * from nothing
