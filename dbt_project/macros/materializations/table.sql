{# As dbt's own, but swapped in: see swap_sql. #}
{% materialization table, adapter='postgres' %}
    {% do return(build_beside()) %}
{% endmaterialization %}


{# A table made anew, all of it in one transaction. #}
{% macro build_beside() %}
    {% set target_relation = this.incorporate(type='table') %}
    {% set fresh_relation = place_beside(target_relation) %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {{ get_create_table_as_sql(False, fresh_relation, sql) }}
    {% endcall %}
    {% do create_indexes(fresh_relation) %}
    {% do return(take_place(target_relation, fresh_relation)) %}
{% endmacro %}
