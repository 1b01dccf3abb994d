{#
    Incremental strategy: rows with a new key come in, rows with a known key
    are changed where they differ, and nothing else is touched.
#}
{% macro get_incremental_upsert_sql(arg_dict) %}
    {% set columns = arg_dict['dest_columns'] | map(attribute='name') | list %}
    {% set key = arg_dict['unique_key'] %}
    {% set others = columns | reject('in', key) | list %}
    insert into {{ arg_dict['target_relation'] }} as known
    ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ arg_dict['temp_relation'] }}
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
