{#
    Which models each raw table goes into. A row has been modelled when all of
    them have taken in the run that it came with.
#}
{% set readers = {
    'bitso_tickers': ['books', 'quotes'],
    'bitso_order_books': ['books', 'observation_coverage', 'quotes'],
    'spread_observations': ['books', 'quotes'],
    'bitso_books': ['books'],
    'coingecko_exchanges': ['exchanges'],
    'coingecko_tickers': ['assets', 'exchanges', 'markets'],
    'coincap_exchanges': ['exchange_volumes'],
} %}
{% set staged = {
    'bitso_tickers': ref('stg_bitso__tickers'),
    'bitso_order_books': ref('stg_bitso__order_books'),
    'spread_observations': ref('stg_lake__spread_observations'),
    'bitso_books': ref('stg_bitso__books'),
    'coingecko_exchanges': ref('stg_coingecko__exchanges'),
    'coingecko_tickers': ref('stg_coingecko__tickers'),
    'coincap_exchanges': ref('stg_coincap__exchanges'),
} %}
{{ config(materialized='view') }}

{% for model in readers.values() | sum(start=[]) | unique %}
-- depends_on: {{ ref(model) }}
{% endfor %}

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

    select *
    from (
        values
        {% for table_name, models in readers.items() %}
            {% set is_last_table = loop.last %}
            {% for model in models %}
                ('{{ table_name }}', '{{ model }}')
                {{- ',' if not (loop.last and is_last_table) }}
            {% endfor %}
        {% endfor %}
    ) as pairs (table_name, model_name)

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

-- Every run up to this one has ended, and what it brought is modelled.
tables_with_run as (

    select
        tables.table_name,
        coalesce(
            min(runs.run_id) filter (
                where
                runs.status = 'running'
                or (
                    runs.status = 'succeeded'
                    and runs.rows_inserted > 0
                    and (
                        finished_runs.run_id is null
                        or finished_runs.cut > tables.cut
                    )
                )
            ) - 1,
            max(runs.run_id)
        ) as run_id
    from tables
    cross join runs
    left join finished_runs
        on runs.run_id = finished_runs.run_id
    group by 1

),

tables_with_instants as (

    {% for table_name, relation in staged.items() %}
        select
            tables_with_run.table_name,
            coalesce(
                (
                    select min(unmodelled.received_at)
                    from {{ relation }} as unmodelled
                    where unmodelled.run_id > tables_with_run.run_id
                ),
                (
                    select max(modelled.received_at)
                    from {{ relation }} as modelled
                )
            ) as modelled_until,
            tables_with_run.run_id
        from tables_with_run
        where tables_with_run.table_name = '{{ table_name }}'
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from tables_with_instants
