{#
    A seed is made beside the one before as well. With the same rows that one
    is left alone; with the same columns its rows are replaced in one
    transaction, which dbt's own truncate is not to one who reads meanwhile.
#}
{% materialization seed, adapter='postgres' %}
    {% set target_relation = this.incorporate(type='table') %}
    {% set fresh_relation = place_beside(target_relation) %}
    {% set seeded = load_agate_table() %}
    {% do store_result('agate_table', response='OK', agate_table=seeded) %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% do make_seed(fresh_relation, seeded) %}
    {% call noop_statement(
        'main', 'SEED ' ~ seeded.rows | length, 'SEED', seeded.rows | length
    ) %}
        table {{ fresh_relation }}
    {% endcall %}
    {% if not answer_of(
        'select ' ~ has_columns_of_sql(target_relation, fresh_relation)
    ) %}
        {% do return(take_place(target_relation, fresh_relation)) %}
    {% endif %}

    {% if answer_of(
        has_other_rows_sql(target_relation, fresh_relation)
    ) %}
        {% do run_query('delete from ' ~ target_relation) %}
        {% do run_query(
            'insert into ' ~ target_relation ~ ' table ' ~ fresh_relation
        ) %}
    {% endif %}
    {% do run_query('drop table ' ~ fresh_relation) %}
    {% do return(keep_place(target_relation)) %}
{% endmaterialization %}


{# Whether two tables of the same columns differ in a row. #}
{% macro has_other_rows_sql(relation, other_relation) %}
    select exists (
        (table {{ relation }} except all table {{ other_relation }})
        union all
        (table {{ other_relation }} except all table {{ relation }})
    ) as has_other_rows
{% endmacro %}


{# Makes the table of a seed under any name, which dbt's own macros cannot. #}
{% macro make_seed(relation, seeded) %}
    {% set types = config.get('column_types', {}) %}
    {% set columns = [] %}
    {% for name in seeded.column_names %}
        {% do columns.append(
            adapter.quote_seed_column(name, config.get('quote_columns')) ~ ' '
            ~ types.get(name, adapter.convert_type(seeded, loop.index0))
        ) %}
    {% endfor %}
    {# A statement, which begins the transaction also where no row follows. #}
    {% call statement('seed') %}
        create table {{ relation }} ({{ columns | join(', ') }})
    {% endcall %}
    {% set places = ['%s'] * seeded.column_names | length %}
    {% for chunk in seeded.rows | batch(get_batch_size()) %}
        {% set values = [] %}
        {% for row in chunk %}
            {% do values.extend(row) %}
        {% endfor %}
        {% do adapter.add_query(
            'insert into ' ~ relation ~ ' values '
            ~ (['(' ~ places | join(', ') ~ ')'] * chunk | length) | join(', '),
            bindings=values,
            abridge_sql_log=true
        ) %}
    {% endfor %}
{% endmacro %}
