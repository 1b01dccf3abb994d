{#
    A view that would be what it is already is left alone. Postgres itself says
    so, of one that is made beside it: it prints both in the same words.
#}
{% materialization view, adapter='postgres' %}
    {% set target_relation = this.incorporate(type='view') %}
    {% set fresh_relation = place_beside(target_relation) %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {{ get_create_view_as_sql(fresh_relation, sql) }}
    {% endcall %}
    {% if not answer_of(is_same_view_sql(target_relation, fresh_relation)) %}
        {% do return(take_place(target_relation, fresh_relation)) %}
    {% endif %}

    {% do run_query('drop view ' ~ fresh_relation) %}
    {% do return(keep_place(target_relation)) %}
{% endmaterialization %}


{# Whether a view says what another one says, of the same columns. #}
{% macro is_same_view_sql(target_relation, fresh_relation) %}
    select exists (
        select 1
        from pg_class as known
        inner join pg_class as fresh
            on
                known.reloptions is not distinct from fresh.reloptions
                and pg_get_viewdef(known.oid) = pg_get_viewdef(fresh.oid)
        where
            known.oid = to_regclass('{{ target_relation.render() }}')
            and fresh.oid = to_regclass('{{ fresh_relation.render() }}')
            and known.relkind = 'v'
            and {{ has_columns_of_sql(target_relation, fresh_relation) }}
    ) as is_same
{% endmacro %}
