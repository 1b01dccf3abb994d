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
    Adds the foreign keys that are missing after a run, and no other: a swap
    takes off those of its table, and what the run left alone is not validated
    again. Citus refuses them between tables of different kinds; there, the
    tests alone hold.
#}
{% macro restore_foreign_keys() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% set missing = run_query(missing_foreign_keys_sql()) %}
        {{ missing.columns['add_foreign_key'].values() | join(';\n') }}
    {% endif %}
{% endmacro %}
