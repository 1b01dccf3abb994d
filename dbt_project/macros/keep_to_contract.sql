{#
    Pre-hook of an incremental model: takes off its table what an older version
    of the contract asked of it, checks and columns without nulls. dbt only
    makes constraints, with the table.
#}
{% macro keep_to_contract() %}
    {% if execute and load_cached_relation(this) %}
        {% set checks = model.constraints
            | selectattr('type', 'equalto', 'check')
            | map(attribute='name') | list %}
        {% set filled = [] %}
        {% for column in model.columns.values() if column.constraints %}
            {% do filled.append(column.name) %}
        {% endfor %}
        {% for statement in run_query(obsolete_constraints_sql(
            this, checks, filled
        )).columns['statement'].values() %}
            {% do run_query(statement) %}
        {% endfor %}
    {% endif %}
{% endmacro %}


{# The statements that take off a table what is not listed. #}
{% macro obsolete_constraints_sql(relation, checks, filled) %}
    select
        format(
            'alter table %s drop constraint %I',
            conrelid::regclass,
            conname
        ) as statement
    from pg_constraint
    where
        conrelid = to_regclass('{{ relation }}')
        and contype = 'c'
        and not conname = any(cast(array{{ checks }} as text[]))
    union all
    select
        format(
            'alter table %s alter column %I drop not null',
            attrelid::regclass,
            attname
        ) as statement
    from pg_attribute
    where
        attrelid = to_regclass('{{ relation }}')
        and attnum > 0
        and attnotnull
        and not attname = any(cast(array{{ filled }} as text[]))
{% endmacro %}
