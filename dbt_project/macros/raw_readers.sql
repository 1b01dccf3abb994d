{#
    Which models each table of raw goes into, as the graph of the project has
    it: of every table whose rows say when they were received. A list kept by
    hand would let the loader drop what a new model has not read yet.
#}
{% macro raw_readers() %}
    {% set tables = [] %}
    {% for source in graph.sources.values() if (
        source.schema == 'raw' and 'received_at' in source.columns
    ) %}
        {% do tables.append({
            'table_name': source.name,
            'relation': source.relation_name,
            'models': tables_fed_by(source.unique_id),
        }) %}
    {% endfor %}
    {% do return(
        tables | selectattr('models') | sort(attribute='table_name')
    ) %}
{% endmacro %}


{#
    The models with rows of their own that read a node, through whatever views.
    One that does not remember what it has taken in reads all of it each time:
    nothing of it may be dropped then.
#}
{% macro tables_fed_by(node_id) %}
    {% set names = [] %}
    {% for model in graph.nodes.values() if (
        model.resource_type == 'model' and node_id in model.depends_on.nodes
    ) %}
        {% if model.config.materialized in ('view', 'ephemeral') %}
            {% do names.extend(tables_fed_by(model.unique_id)) %}
        {% else %}
            {% do names.append(model.name) %}
        {% endif %}
    {% endfor %}
    {% do return(names | unique | sort) %}
{% endmacro %}


{#
    Up to when a table of raw is modelled: to its first row of a run that is
    not, else to its last one. For the row of `tables_with_run` of that table.
#}
{% macro modelled_until_of(relation) -%}
    coalesce(
        (
            select min(unmodelled.received_at)
            from {{ relation }} as unmodelled
            where
                unmodelled.run_id > tables_with_run.run_id
                and {{ is_market_time('unmodelled.received_at') }}
        ),
        (
            select max(modelled.received_at)
            from {{ relation }} as modelled
            where {{ is_market_time('modelled.received_at') }}
        )
    )
{%- endmacro %}
