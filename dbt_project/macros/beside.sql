{#
    Where a new table, view or seed is made: beside the one that readers have,
    under dbt's own name for it. What a killed run of an older version left
    there goes first.
#}
{% macro place_beside(target_relation) %}
    {% set fresh_relation = make_intermediate_relation(target_relation) %}
    {% do drop_relation_if_exists(load_cached_relation(fresh_relation)) %}
    {% do return(fresh_relation) %}
{% endmacro %}


{#
    Ends a materialization: what is left to do with the new relation is done
    before anybody waits for it, its hooks among that, then it takes its place.
    The commit goes with the swap to Postgres, so that readers wait for nothing
    but Postgres, whatever becomes of dbt meanwhile.
#}
{% macro take_place(target_relation, fresh_relation) %}
    {% do apply_grants(fresh_relation, config.get('grants'), false) %}
    {% do persist_docs(fresh_relation, model) %}
    {% for hook in post_hooks if hook.transaction %}
        {% set change = render(hook.sql) | trim %}
        {% if change %}
            {% do run_query(change | replace(
                target_relation.render(), fresh_relation.render()
            )) %}
        {% endif %}
    {% endfor %}
    {% do run_query(swap_sql(target_relation, fresh_relation) ~ 'commit;') %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do return({'relations': [target_relation]}) %}
{% endmacro %}


{# Ends a materialization where the one that readers know stays. #}
{% macro keep_place(target_relation) %}
    {% do apply_grants(target_relation, config.get('grants'), true) %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do return({'relations': [target_relation]}) %}
{% endmacro %}


{# Whether two relations have the same columns. #}
{% macro has_columns_of_sql(relation, other_relation) %}
    {{ columns_sql(relation) }} = {{ columns_sql(other_relation) }}
{% endmacro %}


{# The columns of a relation, in their order. #}
{% macro columns_sql(relation) %}
    array(
        select concat_ws(' ', attname, atttypid, atttypmod, attcollation)
        from pg_attribute
        where
            attrelid = to_regclass('{{ relation.render() }}')
            and attnum > 0
            and not attisdropped
        order by attnum
    )
{% endmacro %}


{# What a query with one row and one column answers. #}
{% macro answer_of(query) %}
    {% do return(run_query(query).rows[0][0]) %}
{% endmacro %}
