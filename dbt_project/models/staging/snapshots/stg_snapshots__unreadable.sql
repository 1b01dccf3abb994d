-- Counted anew in each run that reads the snapshots anyway. Changed in place:
-- a new table in its stead would drop the view that reads it.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{% if is_incremental() %}delete from {{ this }}{% endif %}",
    )
}}

{% set kinds = [
    'deposits', 'withdrawals', 'events', 'users', 'user_levels'
] %}

with

snapshots_in_use as (

    select * from {{ ref('stg_snapshots__current') }}

),

unreadable as (

    {% for kind in kinds %}
        {% if not loop.first %}
            union all
        {% endif %}
        select
            '{{ kind }}' as source,
            {{ why_unreadable(kind) }} as reason
        from {{ source('snapshots', kind) }}
        where
            snapshot_id = (
                select snapshots_in_use.snapshot_id
                from snapshots_in_use
                where snapshots_in_use.kind = '{{ kind }}'
            )
            and ({{ is_readable(kind) }}) is not true
    {% endfor %}

),

unreadable_grouped_by_source as (

    select
        unreadable.source,
        unreadable.reason,
        count(*) as records
    from unreadable
    group by 1, 2

)

select * from unreadable_grouped_by_source
