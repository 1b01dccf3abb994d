{#
    A row has been modelled when all models that its table goes into have taken
    in the run that it came with. The tables of raw are read as they are, not
    staged: they are those of the graph, whatever is staged of them. What is of
    no time is never modelled, and is not waited for.
#}
{{ config(materialized='view') }}

{% set raw_tables = raw_readers() if execute else [] %}

with

runs as (

    select * from {{ ref('stg_pipeline__runs') }}

),

finished_runs as (

    select * from {{ ref('stg_pipeline__finished_runs') }}

),

progress as (

    select * from {{ ref('stg_pipeline__progress') }}

),

readers as (

    select
        cast(null as text) as table_name,
        cast(null as text) as model_name
    where false
    {% for raw_table in raw_tables %}
        union all
        select
            '{{ raw_table.table_name }}' as table_name,
            unnest(array['{{ raw_table.models | join("', '") }}']) as model_name
    {% endfor %}

),

tables as (

    select
        readers.table_name,
        min(coalesce(progress.cut, 0)) as cut
    from readers
    left join progress
        on readers.model_name = progress.model_name
    group by 1

),

-- Not in a cut yet, or in one that some model has not taken in.
unmodelled_runs as (

    select
        runs.run_id,
        cast(null as bigint) as cut
    from runs
    left join finished_runs
        on runs.run_id = finished_runs.run_id
    where
        runs.run_id >= {{ settled_below('finished_runs') }}
        and finished_runs.run_id is null
        and (
            runs.status = 'running'
            or (runs.status = 'succeeded' and runs.rows_inserted > 0)
        )
    union all
    select
        finished_runs.run_id,
        finished_runs.cut
    from finished_runs
    where finished_runs.cut > (select min(tables.cut) from tables)

),

-- Every run up to this one has ended, and what it brought is modelled.
tables_with_run as (

    select
        tables.table_name,
        coalesce(
            min(unmodelled_runs.run_id) - 1,
            (select max(runs.run_id) from runs)
        ) as run_id
    from tables
    left join unmodelled_runs
        on
            unmodelled_runs.cut is null
            or tables.cut < unmodelled_runs.cut
    group by 1

),

tables_with_instants as (

    select
        tables_with_run.table_name,
        cast(null as timestamptz) as modelled_until,
        tables_with_run.run_id
    from tables_with_run
    where false
    {% for raw_table in raw_tables %}
        union all
        select
            tables_with_run.table_name,
            {{ modelled_until_of(raw_table.relation) }} as modelled_until,
            tables_with_run.run_id
        from tables_with_run
        where tables_with_run.table_name = '{{ raw_table.table_name }}'
    {% endfor %}

)

select * from tables_with_instants
