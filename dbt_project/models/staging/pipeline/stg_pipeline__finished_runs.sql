-- A table, and never rebuilt: it fixes what a dbt run sees, also when the
-- loader commits in the middle of one, and it knows each run of the loader by
-- itself, because runs that overlap finish in another order than they began.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        indexes=[
            {'columns': ['run_id'], 'unique': true},
            {'columns': ['cut']},
        ],
        pre_hook="{{ lock_cuts() }}",
        post_hook="{{ analyze_new_table() }}",
    )
}}

-- Settings that are refused stop a run before it takes anything in.
-- depends_on: {{ ref('book_aliases') }}
-- depends_on: {{ ref('feeds') }}
-- depends_on: {{ ref('spread_thresholds') }}

with

runs as (

    select * from {{ ref('stg_pipeline__runs') }}
    {% if is_incremental() %}
        where run_id >= {{ settled_below(this) }}
    {% endif %}

),

-- What saw nothing says that there was nothing to see.
monitored as (

    select * from {{ ref('stg_pipeline__monitored') }}
    {% if is_incremental() %}
        where run_id >= {{ settled_below(this) }}
    {% endif %}

),

known_runs as (

    {% if is_incremental() %}
        select * from {{ this }}
    {% else %}
        select
            cast(null as bigint) as run_id,
            cast(null as bigint) as cut
        where false
    {% endif %}

),

latest as (

    select
        max(runs.run_id) as run_id,
        max(runs.started_at) as started_at
    from runs

),

-- Below it, every run has ended, and no number can still turn up: a run is
-- there for others a moment after it has drawn its number, let alone a day.
settled as (

    select coalesce(min(runs.run_id), max(latest.run_id) + 1) as settled_below
    from latest
    left join runs
        on
            runs.status = 'running'
            or latest.started_at - interval '1 day' < runs.started_at

),

new_runs as (

    select
        runs.run_id,
        settled.settled_below,
        (
            select coalesce(max(known_runs.cut), 0) + 1 from known_runs
        ) as cut
    from runs
    cross join settled
    where
        runs.status = 'succeeded'
        and (
            runs.rows_inserted > 0
            or exists (
                select 1 from monitored
                where monitored.run_id = runs.run_id
            )
        )
        and not exists (
            select 1 from known_runs
            where known_runs.run_id = runs.run_id
        )

),

all_new_runs as (

    select
        new_runs.run_id,
        new_runs.settled_below,
        new_runs.cut
    from new_runs
    union all
    -- What has been folded is known already, or no more: then raw still has it.
    select
        generate_series(
            lower(folded.run_ids), upper(folded.run_ids) - 1
        ) as run_id,
        settled.settled_below,
        1 as cut
    from {{ ref('stg_pipeline__folded_runs') }} as folded
    cross join settled
    where not {{ is_incremental() | lower }}

)

select * from all_new_runs
