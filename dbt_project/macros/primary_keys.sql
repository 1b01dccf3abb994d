{#
    The primary key of a contract is built when the rows are in: 2 to 4 times
    faster than keeping an index that rows come to in no order. Two of dbt's
    macros are replaced for that, and nothing else changes: the key is there
    before anybody sees the table.
#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {% set columns = adapter.render_raw_columns_constraints(model.columns) %}
    {% set constraints = adapter.render_raw_model_constraints(
        model.constraints | rejectattr('type', 'equalto', 'primary_key') | list
    ) %}
    ({{ (columns + constraints) | join(', ') }})
{%- endmacro %}


{# As dbt's own, with the primary key first. #}
{% macro postgres__create_indexes(relation) %}
    {% if config.get('contract').enforced %}
        {% for primary_key in adapter.render_raw_model_constraints(
            model.constraints
            | selectattr('type', 'equalto', 'primary_key')
            | list
        ) %}
            {% do run_query(
                'alter table ' ~ relation ~ ' add ' ~ primary_key
            ) %}
        {% endfor %}
    {% endif %}
    {% do dbt.default__create_indexes(relation) %}
{% endmacro %}
