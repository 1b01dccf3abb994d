{# The statement of the strategy below. #}
{% macro upsert_sql(known, fresh, key, columns, others) %}
    insert into {{ known }} as known ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ fresh }}
    on conflict ({{ key | join(', ') }})
    {% if others %}
        do update set
        {% for column in others %}
            {{ column }} = excluded.{{ column }}{{ ',' if not loop.last }}
        {% endfor %}
        where
            (known.{{ others | join(', known.') }})
            is distinct from (excluded.{{ others | join(', excluded.') }})
    {% else %}
        do nothing
    {% endif %}
{% endmacro %}


{#
    Incremental strategy: rows with a new key come in, rows with a known key
    are changed where they differ, and nothing else is touched.
#}
{% macro get_incremental_upsert_sql(arg_dict) %}
    {% do return(upsert_sql(
        arg_dict.target_relation,
        arg_dict.temp_relation,
        arg_dict.unique_key,
        arg_dict.dest_columns | map(attribute='name') | list,
        arg_dict.dest_columns | map(attribute='name')
        | reject('in', arg_dict.unique_key) | list
    )) %}
{% endmacro %}
