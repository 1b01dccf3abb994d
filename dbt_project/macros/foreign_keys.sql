{#
    Every relationships test between two tables of target is a foreign key: one
    declaration gives the test, the constraint and the line in the diagram.
    Tests that hold for some rows only, or that only warn, are not.
#}
{% macro foreign_keys() %}
    {% set foreign_keys = [] %}
    {% for test in graph.nodes.values() %}
        {% if (
            test.resource_type == 'test'
            and test.test_metadata
            and test.test_metadata.name == 'relationships'
            and not test.config.where
            and test.config.severity | lower == 'error'
        ) %}
            {% set child = graph.nodes[test.attached_node] %}
            {% set parent_id = (
                test.depends_on.nodes
                | reject('equalto', child.unique_id)
                | first
            ) %}
            {% set parent = graph.nodes.get(parent_id, {}) %}
            {% if child.schema == parent.schema == 'target' %}
                {% set columns = test.test_metadata.kwargs %}
                {% do foreign_keys.append({
                    'name': (
                        child.name ~ '_' ~ columns.column_name ~ '_fkey'
                    ),
                    'models': [child.unique_id, parent.unique_id],
                    'child': child.relation_name,
                    'child_column': columns.column_name,
                    'parent': parent.relation_name,
                    'parent_column': columns.field,
                }) %}
            {% endif %}
        {% endif %}
    {% endfor %}
    {% do return(foreign_keys | sort(attribute='name')) %}
{% endmacro %}


{#
    Takes the foreign keys off the tables that a run rebuilds before it starts.
    Rebuilding a table drops them anyway, but in the middle of the run, where
    two threads that swap the two ends of one foreign key can end in a
    deadlock. Tables that are changed in place keep them: to validate them
    again would read all of history.
#}
{% macro drop_foreign_keys() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% for foreign_key in foreign_keys() if (
            is_rebuilt(foreign_key.models[0])
            or is_rebuilt(foreign_key.models[1])
        ) %}
            alter table if exists {{ foreign_key.child }}
            drop constraint if exists {{ foreign_key.name }};
        {% endfor %}
    {% endif %}
{% endmacro %}


{# Whether this run makes the table of a model anew. #}
{% macro is_rebuilt(model_id) %}
    {% do return(
        model_id in selected_resources
        and (
            flags.FULL_REFRESH
            or graph.nodes[model_id].config.materialized != 'incremental'
        )
    ) %}
{% endmacro %}


{#
    Adds the foreign keys that are missing after a run, and no other: tables
    that the run left alone are not validated again. Citus refuses them between
    tables of different kinds; there, the tests alone hold.
#}
{% macro restore_foreign_keys() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% set missing = run_query(missing_foreign_keys_sql()) %}
        {{ missing.columns['add_foreign_key'].values() | join(';\n') }}
    {% endif %}
{% endmacro %}
