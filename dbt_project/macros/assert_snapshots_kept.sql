{#
    Stops a run that would read a snapshot which the loader has dropped since
    it was taken into use: its rows would silently be none.
#}
{% macro assert_snapshots_kept(except_when_moved=false) %}
    {% set cut = 'model.bitso_warehouse.stg_snapshots__current' %}
    {% set is_moved = except_when_moved and cut in selected_resources %}
    {% if execute and not is_moved and reads_snapshots() %}
        {% set in_use = adapter.get_relation(
            target.database, 'staging', 'stg_snapshots__current'
        ) %}
        {% if in_use %}
            {% set dropped = run_query(
                "select in_use.kind || ' ' || in_use.snapshot_id as snapshot
                from " ~ in_use ~ " as in_use
                inner join raw.snapshots
                    on in_use.snapshot_id = snapshots.snapshot_id
                where snapshots.dropped_at is not null
                order by 1"
            ).columns['snapshot'].values() %}
            {% if dropped %}
                {% do exceptions.raise_compiler_error(
                    'snapshots in use are gone from raw ('
                    ~ dropped | join(', ')
                    ~ '): run the whole project once, as in `dbt build`'
                ) %}
            {% endif %}
        {% endif %}
    {% endif %}
{% endmacro %}


{# Whether anything of this run reads a snapshot. #}
{% macro reads_snapshots() %}
    {% set staged = 'model.bitso_warehouse.stg_snapshots__' %}
    {% for id in selected_resources %}
        {% set node = graph.nodes.get(id, {'depends_on': {'nodes': []}}) %}
        {% for upstream_id in node.depends_on.nodes or [] %}
            {% if upstream_id.startswith(staged) %}
                {% do return(true) %}
            {% endif %}
        {% endfor %}
    {% endfor %}
    {% do return(false) %}
{% endmacro %}
